"""Scoring says what a model lacks, and a try that died leaves a record that is true."""

from __future__ import annotations

import shutil

import mlflow
import pytest
from sklearn.linear_model import LogisticRegression

from airflow_mlops_provider.contracts.promote import PromoteSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.promote import promote
from tests.steps.flow import DUMMY, add_month, batch, rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def test_a_dataset_without_a_models_column_is_named(watched):
    short = rows(3).drop_columns(["late", "size"])
    version, _ = watched.lake.write_once("short", short, app="short/3")
    BatchLedger(watched.lake, "short").accept(batch(3), version=version, rows=short.num_rows, run_key="test")
    with pytest.raises(DataError, match=r"short lacks \['size'\], which the model was trained on"):
        watched.score(dataset="short")


def test_a_model_without_a_signature_is_named(world, tmp_path):
    table = rows(1)
    fitted = LogisticRegression().fit(table.select(["size"]).to_pandas(), table["late"].to_numpy(zero_copy_only=False))
    client = models.connect(world.context)
    mlflow.sklearn.save_model(fitted, tmp_path / "model")
    client.create_registered_model("m")
    client.create_model_version("m", str(tmp_path / "model"))
    promote(PromoteSpec(**world.common, model="m", version="1"), world.at("promote"))
    with pytest.raises(DataError, match="the model has no signature: log it with one"):
        world.score()


def promote_another(world) -> None:
    trained = world.train("b", estimator=DUMMY, until="2013-02-01")
    verdict = world.evaluate("b", trained)
    made = world.register("b", trained, verdict)
    world.promote("b", trained, verdict, made.version)


def test_a_try_that_died_after_its_commit_is_recorded_as_what_it_was(watched):
    add_month(watched.lake, 3)
    watched.score()
    # The lake of a try that died between its two commits; then another version became champion.
    shutil.rmtree(watched.lake.uri("_ledgers/batches/predictions/m"))
    promote_another(watched)
    (scored,) = watched.score().batches
    assert (scored.version, scored.shadow_version) == ("1", None)
    line = BatchLedger(watched.lake, "predictions/m").accepted()[0]
    assert (line.detail["version"], line.detail["sequence"], line.rows) == ("1", 1, 31 * 40)
    assert set(watched.lake.read("predictions/m")["model_version"].to_pylist()) == {"1"}


def test_the_former_champion_scores_in_shadow(watched):
    promote_another(watched)
    add_month(watched.lake, 3)
    (scored,) = watched.score().batches
    assert (scored.version, scored.shadow_version) == ("2", "1")
    found = watched.lake.read("predictions/m").to_pydict()
    assert sorted(set(zip(found["role"], found["model_version"], strict=True))) == [("champion", "2"), ("shadow", "1")]

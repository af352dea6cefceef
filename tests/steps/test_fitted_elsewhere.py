"""Tables and models that somebody else makes: rows without batches, types of a signature, what a challenger is."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.evaluate import EvaluateSpec
from airflow_mlops_provider.contracts.train import TrainingDataset
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.datasets import within
from airflow_mlops_provider.steps.training_data import LabelledSet

DATASET = TrainingDataset(entities="visits", target="late", event_timestamp="at")


def write(lake, days: list[int], *, late: bool | None = True, **more) -> None:
    at = pa.array([datetime(2025, 1, day, tzinfo=UTC) for day in days], pa.timestamp("us", tz="UTC"))
    columns = {"at": at, "size": [1.0] * len(days), "late": pa.array([late] * len(days), pa.bool_())}
    lake.write_once("visits", pa.table({**columns, **more}), app=str(days))


def test_a_table_without_batches_is_one(lake):
    write(lake, [1, 5, 3])
    found = LabelledSet(lake, DATASET)
    assert (found.until.id, found.versions, found.count()) == ("visits@1", {"visits": 1}, 3)
    assert (found.until.start, found.until.end) == (
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 5, 0, 0, 0, 1, tzinfo=UTC),
    )


def test_it_stays_what_it_was_at_its_version(lake):
    write(lake, [1])
    write(lake, [2])
    assert LabelledSet(lake, DATASET).count() == 2
    pinned = LabelledSet(lake, DATASET, until="visits@1", versions={"visits": 1})
    assert (pinned.until.id, pinned.count()) == ("visits@1", 1)


def test_without_event_times_the_commit_says_when(lake):
    write(lake, [1])
    before = datetime.now(UTC)
    found = LabelledSet(lake, DATASET.model_copy(update={"event_timestamp": None}))
    assert abs((found.until.start - before).total_seconds()) < 60


def test_a_batch_that_no_ledger_knows_is_not_used(lake):
    write(lake, [1], _batch=["2025-01-01"])
    with pytest.raises(DataError, match="visits: no batch was accepted yet"):
        LabelledSet(lake, DATASET)


def test_other_ways_to_have_no_rows_say_so(lake):
    with pytest.raises(DataError, match="visits"):
        LabelledSet(lake, DATASET)
    write(lake, [1], late=None)
    with pytest.raises(DataError, match="visits has no row with 'late'"):
        LabelledSet(lake, DATASET)
    write(lake, [2])
    with pytest.raises(DataError, match=r"none of '2025-01'; leave `until` out, or say 'visits@2'"):
        LabelledSet(lake, DATASET, until="2025-01")


class Signed:
    """A model with MLflow's signature of a whole number, a boolean and a float; it returns what it is given."""

    def __init__(self) -> None:
        from mlflow.types import ColSpec, DataType, Schema

        kinds = {"age": DataType.long, "new": DataType.boolean, "spend": DataType.double}
        self.schema = Schema([ColSpec(kind, name) for name, kind in kinds.items()])
        self.metadata = self

    def get_input_schema(self):
        return self.schema

    def predict(self, features):
        self.given = dict(features.dtypes.astype(str))
        return features["spend"]


@pytest.mark.parametrize(
    ("age", "kind"), [([20.0, 30.0], "int64"), ([20.5, 30.0], "float64"), ([None, 30.0], "float64")]
)
def test_numbers_get_the_signatures_type_where_nothing_is_lost(age, kind):
    model = Signed()
    x = pd.DataFrame({"age": pd.array(age, "float64"), "new": [0.0, 1.0], "spend": [0.1, 0.2]})
    assert models.predict(model, x).tolist() == [0.1, 0.2]
    assert model.given == {"age": kind, "new": "bool", "spend": "float64"}


@pytest.mark.parametrize(
    ("challenger", "known"),
    [
        ("models:/churn/3", {}),
        ({"model_uri": "models:/churn/3", "holdout_start": "2025-01-01T00:00:00Z"}, {"rows": 0}),
        ({"model_uri": "models:/churn/3", "run_id": "a", "until": "b", "rows": 2, "versions": {"v": 1}}, {"rows": 2}),
    ],
)
def test_a_challenger_is_what_one_knows_of_it(challenger, known):
    spec = {"pipeline": "p", "lake": "l", "model": "churn", "challenger": challenger, "dataset": DATASET.model_dump()}
    # As a runner reads it.
    read = EvaluateSpec.model_validate_json(json.dumps(spec), strict=True)
    assert read.challenger.model_uri == "models:/churn/3"
    assert known.items() <= read.challenger.model_dump().items()
    assert EvaluateSpec.model_validate_json(read.model_dump_json(), strict=True) == read


def test_only_a_relative_path_is_below_the_bundle():
    def name(kind: str, path: str) -> str:
        return within("/srv/dags", DatasetRef(kind=kind, name=path)).name

    assert name("parquet", "data/*.parquet") == "/srv/dags/data/*.parquet"
    assert name("parquet", "/data/a.parquet") == "/data/a.parquet"
    assert name("parquet", "s3://acme/a.parquet") == "s3://acme/a.parquet"
    assert name("delta", "visits") == "visits"

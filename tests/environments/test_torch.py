"""A PyTorch function as a trainer: the pages' example is trained, judged and scored where PyTorch is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal

import mlflow
import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.evaluate import EvaluateSpec
from airflow_mlops_provider.contracts.promote import PromoteSpec, RegisterSpec
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.contracts.score import ScoreSpec
from airflow_mlops_provider.contracts.train import TrainResult, TrainSpec
from airflow_mlops_provider.runners.interpreter import Interpreter
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.lake import Lake
from tests.environments.make_env import run
from tests.environments.pages import python_of
from tests.environments.torch_code import BY_HAND, EPOCHS, IN_ONE_PROCESS, MODULES, OWN, WEIGHTS
from tests.steps.flow import DATASET, ZONE, batch, rows

pytestmark = [pytest.mark.environment, pytest.mark.slow]

EXAMPLE = python_of("training.md", "PyTorch")
NUMBERS = DATASET.model_copy(update={"columns": ("size", "weight")})
REFUSED = {
    "logits": "which are no probabilities: return torch.nn.Sequential",
    "nulls": "the module's prediction is NaN for",
    "many": "shape (1960, 3); two classes or one value a row are scored",
    "no_tensor": "the module's forward returned a tuple, not a tensor",
    "of_texts": "columns ['colour'] are text: leave them out of dataset.columns",
}


def publish(lake, month):
    """Publish a month of `flow` with a second number, as entities and as labels."""
    table = rows(month)
    table = table.append_column("weight", pa.array(100 + 5 * np.random.default_rng(month).normal(size=len(table))))
    for name, data in {"entities": table.drop_columns(["late"]), "labels": table}.items():
        version, _ = lake.write_once(name, data, app=f"{name}/{month}")
        BatchLedger(lake, name).accept(batch(month), version=version, rows=data.num_rows, run_key="test")
    return table


class Apart:
    """One pipeline whose steps run in that environment, a process each."""

    def __init__(self, python, folder, tracking_uri):
        self.python, self.folder, self.tracking_uri = str(python), folder, tracking_uri
        self.lake = Lake(str(folder / "lake"))
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        self.common = {"pipeline": "p", "lake": self.lake.root, "model": "m"}
        self.said = []

    def outcome(self, step, key, spec, emit=None):
        return Interpreter(self.python).run(self.request(step, key, spec), emit=emit or self.said.append)

    def request(self, step, key, spec):
        extra = {"artifact_root": str(self.folder / "artifacts")}
        connections = {"mlflow_default": {"conn_type": "mlflow", "host": self.tracking_uri, "extra": extra}}
        fields = spec.model_dump(mode="json", exclude_defaults=True)
        return Request(step, fields, f"{key}/{step}", connections=connections)

    def done(self, step, key, spec):
        outcome = self.outcome(step, key, spec)
        assert outcome.status == "succeeded", f"{outcome.error}\n{outcome.trace}"
        return outcome.result

    def training(self, source, *, function="train", **more):
        (self.bundle / "late_net.py").write_text(source)
        given = {"dataset": NUMBERS, "holdout": "P10D", "timezone": ZONE.key, "bundle": str(self.bundle), **more}
        return TrainSpec(**self.common, python_callable=f"late_net.{function}", **given)

    def train(self, key, source, **more):
        return TrainResult(**self.done("train", key, self.training(source, **more)))

    def own(self, uri, table):
        """What the model itself predicts for the rows of a table."""
        path = self.folder / "asked.parquet"
        pa.parquet.write_table(table, path)
        return [float(word) for word in run(self.python, "-c", OWN, self.tracking_uri, uri, path).split()]

    def weights(self, uri):
        """Return the hash of a model's state, bit by bit."""
        return run(self.python, "-c", WEIGHTS, self.tracking_uri, uri)

    def begun(self):
        """Return the epochs that were begun, in their order."""
        words = [message.text.split() for message in self.said]
        return [int(found[1]) for found in words if found[:1] == ["begins"]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Two months and an empty MLflow, made once; each test copies them."""
    folder = tmp_path_factory.mktemp("begun")
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    for month in (1, 2):
        publish(Lake(str(folder / "lake")), month)
    return folder


@pytest.fixture
def apart(torch_python, begun, tmp_path, monkeypatch):
    # Bit for bit is the CPU's promise; where a GPU is at hand, it is not seen.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    return Apart(torch_python, tmp_path, f"sqlite:///{tmp_path}/mlflow.db")


def test_the_pages_example_becomes_champion_and_scores(apart):
    parameters = {"lr": 0.02, "epochs": 6}
    trained = apart.train("a", EXAMPLE, parameters=parameters, refit=True)
    judged = apart.done("evaluate", "a", EvaluateSpec(**apart.common, challenger=trained, dataset=NUMBERS))
    assert judged["metrics"]["roc_auc"]["value"] > 0.75
    made = apart.done("register", "a", RegisterSpec(**apart.common, trained=trained, verdict=judged))
    said = {"trained": trained, "verdict": judged, "version": made["version"]}
    assert apart.done("promote", "a", PromoteSpec(**apart.common, **said))["promotion"]["version"] == "1"

    needed = [path.read_text().split() for path in apart.folder.glob("artifacts/**/requirements.txt")]
    assert [("torch==2.13.0" in lines, "xgboost" in lines) for lines in needed] == [(True, False)] * 2

    # What scores needs the model alone.
    (apart.bundle / "late_net.py").unlink()
    march = publish(apart.lake, 3)
    asked = {"dataset": "entities", "event_timestamp": "at", "unique_key": ("id",)}
    apart.done("score", "a", ScoreSpec(**apart.common, **asked))
    scored = apart.lake.require("predictions/m").to_pyarrow_table().sort_by("id")
    assert scored["id"].to_pylist() == march.sort_by("id")["id"].to_pylist()
    own = apart.own(trained.refit_model_uri, march.sort_by("id"))
    np.testing.assert_allclose(scored["prediction"].to_numpy(), own, rtol=1e-5)
    assert 0 < min(own) < max(own) < 1


def test_a_seed_gives_the_same_weights_and_another_one_others(apart):
    spec = {"parameters": {"lr": 0.02, "epochs": 1}}
    first, again, other = (
        apart.weights(apart.train(key, EXAMPLE, seed=seed, **spec).model_uri)
        for key, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


def test_killed_in_the_middle_it_goes_on_bit_for_bit(apart):
    pids = []

    def kill(message):
        apart.said.append(message)
        words = message.text.split()
        if words[:2] == ["begins", "6"] and not pids:
            pids.append(int(words[-1]))
            os.kill(pids[0], signal.SIGKILL)

    spec = apart.training(EPOCHS, parameters={"epochs": 8})
    outcome = apart.outcome("train", "a", spec, emit=kill)
    assert (outcome.status, outcome.kind) == ("failed", "lost")
    made = apart.done("train", "a", spec)
    # The checkpoints are those of epochs 3 and 6.
    assert apart.begun() == [*range(1, 7), *range(4, 9)]
    whole = apart.done("train", "whole", spec)
    (apart.bundle / "late_net.py").unlink()
    assert apart.weights(made["model_uri"]) == apart.weights(whole["model_uri"])
    runs = mlflow.MlflowClient(apart.tracking_uri).search_runs([made["experiment_id"]])
    assert {run.info.run_id for run in runs} == {made["run_id"], whole["run_id"]}


def test_the_pages_example_goes_on_bit_for_bit_by_hand(apart):
    (apart.bundle / "late_net.py").write_text(EXAMPLE)
    told = run(apart.python, "-c", BY_HAND, apart.lake.root, apart.bundle).split()
    assert told == ["7", "cpu", "7", "6..10", "same"]


def test_a_module_that_cannot_be_scored_is_refused(apart):
    specs = {name: apart.training(MODULES, function=name) for name in REFUSED}
    specs["of_texts"] = apart.training(MODULES, function="of_texts", dataset=DATASET, parameters={"own": False})
    asked = {name: apart.request("train", name, spec).encode() for name, spec in specs.items()}
    said = run(apart.python, "-c", IN_ONE_PROCESS, json.dumps(asked)).splitlines()
    found = [line.split(" ", 3)[1:] for line in said if line.startswith("OUTCOME")]
    assert [(name, kind) for name, kind, _ in found] == [(name, "bad_input") for name in REFUSED]
    assert [error for name, _, error in found if REFUSED[name] not in error] == []


def test_a_module_with_a_predict_of_its_own_gets_the_data_frame(apart):
    trained = apart.train("a", MODULES, function="of_texts", dataset=DATASET, parameters={"own": True})
    judged = apart.done("evaluate", "a", EvaluateSpec(**apart.common, challenger=trained, dataset=DATASET))
    assert judged["metrics"]["roc_auc"]["value"] > 0.75

"""What a pod used is kept with its run in MLflow, and comes back by model version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta

import mlflow
import pytest

from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.contracts.train import TrainSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.cost import costs, record_cost
from tests.steps.flow import DATASET

GIB = 2**30
A100 = {"class": "a100", "devices": 2, "price": 3.0}


@pytest.fixture
def run_id(context):
    return new_run(context)


def new_run(context):
    client = models.connect(context)
    experiment = models.experiment(context, client, "delay")
    run = client.create_run(experiment)
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def test_a_run_says_what_it_used_and_cost(context, run_id):
    record_cost(context, run_id, model="delay", seconds=1800, peak_memory_bytes=3 * GIB, gpu=A100)
    (row,) = costs(context, "delay")
    assert (row["gpu"], row["gpu_seconds"], row["peak_memory_gib"], row["cost"]) == ("2 a100", 3600, 3, 3.0)
    assert (row["run_id"], row["version"], row["seconds"]) == (run_id, None, 1800)


def test_pods_that_worked_on_one_run_add_up(context, run_id):
    record_cost(context, run_id, model="delay", seconds=1800, peak_memory_bytes=3 * GIB, gpu=A100)
    record_cost(context, run_id, model="delay", seconds=600, peak_memory_bytes=2 * GIB, gpu=A100)
    (row,) = costs(context)
    assert (row["seconds"], row["gpu_seconds"], row["cost"], row["peak_memory_gib"]) == (2400, 4800, 4.0, 3)


def test_without_a_device_or_its_price_there_is_no_cost(context, run_id):
    record_cost(context, run_id, model="delay", seconds=10, peak_memory_bytes=GIB)
    other = new_run(context)
    record_cost(context, other, model="delay", seconds=10, peak_memory_bytes=GIB, gpu={**A100, "price": None})
    found = {row["run_id"]: row for row in costs(context)}
    assert (found[run_id]["gpu"], found[run_id]["gpu_seconds"], found[run_id]["cost"]) == (None, None, None)
    assert (found[other]["gpu"], found[other]["gpu_seconds"], found[other]["cost"]) == ("2 a100", 20, None)


def test_a_version_is_found_by_the_run_that_was_judged(context, run_id):
    client = models.connect(context)
    twin = new_run(context)
    record_cost(context, run_id, model="o'hare", seconds=10, peak_memory_bytes=GIB)
    record_cost(context, twin, model="delay", seconds=10, peak_memory_bytes=GIB)
    client.create_registered_model("o'hare")
    client.create_registered_model("delay")
    client.create_model_version("delay", "s3://models/1", twin)
    client.create_model_version("o'hare", "s3://models/2", twin, tags={"mlops.judged_run": run_id})
    assert [(row["model"], row["version"]) for row in costs(context, "o'hare")] == [("o'hare", "1")]
    assert {(row["model"], row["run_id"], row["version"]) for row in costs(context)} == {
        ("o'hare", run_id, "1"),
        ("delay", twin, "1"),
    }


def test_runs_of_others_are_not_listed(context, run_id):
    mlflow.set_tracking_uri(context.tracking_uri)
    assert costs(context) == []
    with pytest.raises(DataError, match="no run of model 'delay' has its cost recorded"):
        costs(context, "delay")


MAIN = "import os, sys; from airflow_mlops_provider.runners.pod import main; main(os.environ, sys.argv[1])"
TRAINER = """
import time
from sklearn.dummy import DummyClassifier

def quick(data, parameters):
    return DummyClassifier().fit(data.X, data.y)

def slow(data, parameters):
    print("fitting", flush=True)
    time.sleep(60)
"""


def pod(world, root, function, unpaid=()):
    """Start the pod's main with a training; returns the process."""
    (root / "trainer.py").write_text(TRAINER)
    (root / "connections.json").write_text(json.dumps(world.context.connections))
    spec = TrainSpec(
        **world.common,
        bundle=str(root),
        model="m",
        dataset=DATASET,
        python_callable=f"trainer.{function}",
        holdout=timedelta(days=10),
    )
    request = Request("train", spec.model_dump(mode="json", exclude_defaults=True), "p/train/1")
    environment = {
        "PATH": os.environ["PATH"],
        "MLOPS_POD": "p-1",
        "MLOPS_REQUEST": request.encode(),
        "MLOPS_CONNECTIONS": str(root / "connections.json"),
        "MLOPS_PRICE": json.dumps(A100),
        "MLOPS_UNPAID": json.dumps(unpaid),
    }
    command = [sys.executable, "-c", MAIN, str(root / "termination-log")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_training_pod_writes_what_it_used_also_when_it_is_stopped(world, tmp_path):
    with pod(world, tmp_path, "slow") as process:
        for line in process.stdout:
            if line.strip() == "fitting":
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    (stopped,) = costs(world.context, "m")
    assert stopped["gpu_seconds"] == pytest.approx(2 * stopped["seconds"])
    lost = {"seconds": 1000.0, "gpu": {"class": "spot", "devices": 1, "price": 7.2}}
    with pod(world, tmp_path, "quick", unpaid=[lost]) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    told = json.loads((tmp_path / "termination-log").read_text())
    rows = costs(world.context, "m")
    assert told["outcome"]["result"]["run_id"] in {row["run_id"] for row in rows}
    assert sum(row["seconds"] for row in rows) == pytest.approx(stopped["seconds"] + told["usage"]["seconds"] + 1000)
    own = sum(row["gpu_seconds"] for row in rows) - 1000
    assert sum(row["cost"] for row in rows) == pytest.approx(2.0 + 3.0 / 3600 * own)
    assert {row["gpu"] for row in rows} == {"2 a100"}


def test_a_bill_that_cannot_be_written_changes_nothing(world, capsys):
    from airflow_mlops_provider.contracts.protocol import Outcome
    from airflow_mlops_provider.runners.pod import _charge
    from airflow_mlops_provider.runners.usage import Usage

    connection = {"mlflow_default": {"host": "sqlite:////nowhere/at/all.db", "password": "s3cret-word"}}
    request = Request("train", {"model": "m"}, "k", connections=connection)
    _charge(request, Outcome("succeeded", result={"run_id": "r"}), [(Usage(1, 1), None)])
    said = capsys.readouterr().err
    assert "what the run used could not be recorded" in said
    assert "s3cret-word" not in said

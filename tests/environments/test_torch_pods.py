"""PyTorch in pods: two workers share a fit by the page's example, and a GPU that PyTorch does not see is said."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.contracts.train import TrainSpec
from airflow_mlops_provider.runners.interpreter import Interpreter
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.testing.cluster import Cluster
from tests.environments.make_env import run
from tests.environments.pages import python_of
from tests.pod_driver import PodTask
from tests.steps.flow import DATASET, add_month

pytestmark = [
    pytest.mark.environment,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
]
WEIGHTS = """
import sys
import mlflow, torch
mlflow.set_tracking_uri(sys.argv[1])
state = mlflow.pytorch.load_model(sys.argv[2]).state_dict()
print(*torch.cat([kept.flatten() for kept in state.values()]).tolist())
"""


class World:
    """A training over a lake of one month, in pods or apart."""

    def __init__(self, python, folder):
        self.python, self.folder = str(python), folder
        self.uri = f"sqlite:///{folder}/mlflow.db"
        mlflow.MlflowClient(self.uri).search_experiments()
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        (self.bundle / "together.py").write_text(python_of("training.md", "Several workers"))
        add_month(Lake(str(folder / "lake")), 1)
        self.mlflow = {"conn_type": "mlflow", "host": self.uri, "extra": {"artifact_root": str(folder / "artifacts")}}
        self.spec = {
            "model": "late",
            "lake": str(folder / "lake"),
            "dataset": {**DATASET.model_dump(mode="json"), "columns": ["size"]},
            "python_callable": "together.train",
            "parameters": {"lr": 0.5, "epochs": 20},
        }

    def pods(self, name, **pod):
        volumes = {"shared": {"claim": "shared", "mount_path": str(self.folder)}}
        typed = {"image": "torch", "bundle": str(self.bundle), "volumes": volumes, "grace": 1, **pod}
        fields = {"step": "train", "spec": self.spec, "pod": typed, "deferrable": False}
        return PodTask(name, {**fields, "gpu_classes": {"a100": {"price": 3}}})

    def apart(self):
        spec = TrainSpec.model_validate({**self.spec, "pipeline": "p", "bundle": str(self.bundle)})
        connections = {"mlflow_default": self.mlflow}
        request = Request("train", spec.model_dump(mode="json"), "alone", connections=connections)
        outcome = Interpreter(self.python).run(request, emit=lambda message: None)
        assert outcome.status == "succeeded", outcome.error
        return outcome.result

    def weights(self, trained):
        words = run(self.python, "-c", WEIGHTS, self.uri, trained["model_uri"]).split()
        return np.array([float(word) for word in words])


@pytest.fixture(scope="module")
def world(torch_python, tmp_path_factory):
    return World(torch_python, tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def cluster(world):
    with Cluster({"torch": world.python}, claims={"shared": world.folder}, backoff_s=0.3) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def connections(world, cluster, connect, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
    connect("mlflow_default", **world.mlflow)


def test_two_workers_fit_what_one_fits(world):
    task = world.pods("together", workers=2)
    assert task.run(), task.error
    trained = task.pushed["return_value"]
    alone = world.apart()
    assert alone["run_id"] != trained["run_id"]
    # Each worker's half has as many rows as the other's: the mean of their gradients is the whole's.
    np.testing.assert_allclose(world.weights(trained), world.weights(alone), rtol=1e-4, atol=1e-6)
    run = mlflow.MlflowClient(world.uri).get_run(trained["run_id"])
    assert run.data.metrics["loss"] < 0.69


def test_a_gpu_that_pytorch_does_not_see_is_said_at_once(world):
    task = world.pods("blind", gpu="a100")
    assert not task.run()
    assert "was given GPU class 'a100', and PyTorch 2.13.0" in str(task.error)
    assert "An image whose PyTorch and driver fit that class, or no `gpu` in runs_on" in str(task.error)
    assert task.tries == 1

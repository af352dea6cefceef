"""One training in several processes: each fits on the first one's data, the first alone keeps what comes of it."""

from __future__ import annotations

import mlflow
import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps import workers
from airflow_mlops_provider.steps.checkpoint import Checkpoint
from airflow_mlops_provider.steps.workers import Worker, this_worker
from tests.steps.flow import add_month

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
TRAINER = """
from pathlib import Path

def train(data, params, context):
    context.log_metric("seen", len(data.y))
    context.checkpoint.save(f"by worker {context.rank}".encode())
    Path(params["seen"]).write_text(f"{context.rank} of {context.workers}: {len(data.y)} rows")
    if context.rank == 0:
        raise ValueError("cut off")
"""


@pytest.mark.parametrize(
    ("environment", "worker"),
    [
        ({}, Worker(0, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Worker(0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, Worker(3, 4)),
    ],
)
def test_torchruns_environment_says_which_worker_this_is(environment, worker):
    assert this_worker(environment) == worker


@pytest.mark.parametrize("environment", [{"RANK": "1"}, {"RANK": "-1"}, {"RANK": "one", "WORLD_SIZE": "2"}])
def test_an_environment_that_fits_nothing_is_refused(environment):
    with pytest.raises(ConfigError, match="RANK"):
        this_worker(environment)


def test_the_first_worker_waits_for_nobody_and_the_others_for_it(monkeypatch):
    monkeypatch.setattr(workers, "_PERIOD_S", 0.0)
    assert Worker(0, 2).once_there(lambda: None) is None
    answers = iter([None, None, "there"])
    assert Worker(1, 2).once_there(lambda: next(answers)) == "there"


def test_a_checkpoint_of_another_worker_is_read_and_never_written(lake):
    Checkpoint(lake, "k").save(b"the first one's")
    other = Checkpoint(lake, "k", writes=False)
    other.save(b"another one's")
    assert other.restore() == Checkpoint(lake, "k").restore() == b"the first one's"


@pytest.mark.slow
def test_another_worker_fits_on_the_first_ones_data_and_writes_nothing(world, lake, context, tmp_path, monkeypatch):
    (tmp_path / "together.py").write_text(TRAINER)
    seen = tmp_path / "seen"
    asked = {"estimator": None, "python_callable": "together.train", "bundle": str(tmp_path), "holdout": None}
    asked["parameters"] = {"seen": str(seen)}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="cut off"):
        world.train("t", **asked)
    first = seen.read_text()
    before = _state()
    # What came since is not in the first one's run.
    add_month(lake, 3)
    monkeypatch.setenv("RANK", "1")
    result = world.train("t", **asked)
    assert (first, seen.read_text()) == ("0 of 2: 2360 rows", "1 of 2: 2360 rows")
    assert (result.run_id, result.model_uri) == (before[0][0], f"runs:/{before[0][0]}/model")
    assert _state() == before
    kept = [path.read_bytes() for path in (tmp_path / "lake" / "_checkpoints").rglob("*.data")]
    assert kept == [b"by worker 0"]


def _state():
    """Return each run with its state, metrics and models."""
    client = mlflow.MlflowClient()
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return [
        (
            run.info.run_id,
            run.info.status,
            client.get_metric_history(run.info.run_id, "seen"),
            run.outputs.model_outputs,
        )
        for run in found
    ]

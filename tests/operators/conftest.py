"""Steps answered by a recording runner, for DAGs that Airflow itself runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_mlops_provider.contracts.promote import PromoteResult, Promotion, RegisterResult
from airflow_mlops_provider.contracts.train import TrainResult
from airflow_mlops_provider.runners import RUNNERS
from airflow_mlops_provider.testing import RecordingRunner


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, connect: Callable[..., None]) -> RecordingRunner:
    """Return the runner that answers every step of a training; tests add the verdict, and others."""
    promotion = Promotion(
        sequence=4, kind="promote", version="5", recorded_at="2013-04-01T12:00:00Z", reason="better by .02"
    )
    recording = RecordingRunner(
        {
            "train": TrainResult(run_id="abc", model_uri="m", rows=10, until="2013-03-01", experiment_id="7"),
            "register": RegisterResult(model="delay", version="5", source="m", run_id="abc", verdict="accepted"),
            "promote": PromoteResult(promotion=promotion, written=True),
        }
    )
    monkeypatch.setitem(RUNNERS, "local", recording)
    connect("mlflow_default", conn_type="mlflow", host="http://mlflow.test:5000", login="ann", password="s3cret")
    return recording

"""A lake and an MLflow of their own for each test."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(scope="session")
def migrated_mlflow(tmp_path_factory):
    """An MLflow database migrated once; each test copies it (a migration costs seconds)."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def context(tmp_path, migrated_mlflow):
    """A context whose MLflow is real, on SQLite."""
    path = tmp_path / "mlflow.db"
    path.write_bytes(migrated_mlflow.read_bytes())
    connection = {"conn_type": "mlflow", "host": f"sqlite:///{path}", "extra": {"artifact_root": str(tmp_path / "artifacts")}}
    return StepContext("run", {"mlflow_default": connection})

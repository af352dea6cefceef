"""An Airflow that has DAGs of its own, an MLflow and a lake, into which a page's own code is put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.steps.lake import Lake

FOREIGN = """
from airflow.sdk import DAG, task

with DAG("warehouse_load", schedule="@daily") as dag:

    @task
    def load():
        return 3

    load()
"""


@dataclass(frozen=True)
class Ended:
    """How a DAG run ended: tasks' states and results by id."""

    state: str
    tasks: dict[str, str]
    results: dict[str, Any]


@dataclass(frozen=True)
class Site:
    """Where a user's files lie: the dags folder, which is the bundle, and the lake."""

    dags: Path
    lake: Lake
    read_dags: Callable[[], Any]

    def put(self, files: dict[str, str]) -> None:
        """Write files of a page; their titles say where: `dags/...`."""
        for title, text in files.items():
            path = self.dags / title.removeprefix("dags/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def ids(self) -> set[str]:
        """Return the ids of every DAG, the foreign one among them. Fails on an import error."""
        bag = self.read_dags()
        assert bag.import_errors == {}
        return set(bag.dags)

    def run(self, dag_id: str, logical_date: datetime | None = None) -> Ended:
        """Let Airflow run a DAG once, in this process."""
        assert "warehouse_load" in self.ids()
        return _ended(self.read_dags().dags[dag_id].test(logical_date=logical_date))


# What Airflow's own parts, and MLflow, warn of when a DAG runs in this process.
OTHERS = (
    "ignore:Using `httpx` with `starlette.testclient` is deprecated",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning",
    # One DAG id in several versions, as of a page whose code a test varies.
    "ignore:Multiple rows returned with uselist=False",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "site" in getattr(item, "fixturenames", ()):
            for warning in OTHERS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def site(airflow_db, dags, read_dags, tmp_path, monkeypatch) -> Site:
    """Return an Airflow with a foreign DAG, and a lake of its own."""
    lake = Lake(str(tmp_path / "lake"))
    monkeypatch.setenv("AIRFLOW__MLOPS__LAKE", lake.root)
    monkeypatch.syspath_prepend(str(dags))
    (dags / "warehouse_load.py").write_text(FOREIGN)
    return Site(dags, lake, read_dags)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """Return an MLflow database migrated once; each test copies it."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_client(tmp_path, migrated, connect):
    """Return a client of a real MLflow on SQLite that Airflow knows as `mlflow_default`."""
    import mlflow

    path = tmp_path / "mlflow.db"
    path.write_bytes(migrated.read_bytes())
    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{path}", extra={"artifact_root": str(tmp_path)})
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    client = mlflow.MlflowClient()
    client.create_experiment("churn", artifact_location=str(tmp_path / "artifacts"))
    return client


def _ended(dag_run: Any) -> Ended:  # Airflow's DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        of_run = select(XComModel).where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id)
        results = {row.task_id: row.value for row in session.scalars(of_run) if row.key == "return_value"}
        states = {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances(session=session)}
    return Ended(str(dag_run.state), states, results)

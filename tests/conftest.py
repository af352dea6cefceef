"""One throwaway AIRFLOW_HOME a session, in place before anything imports Airflow."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HOME = Path(tempfile.mkdtemp(prefix="airflow-mlops-tests-"))
DAGS = HOME / "dags"
SETTINGS = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__API_AUTH__JWT_SECRET": "only for tests" * 5,
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__MLOPS__LAKE": str(HOME / "lake"),
    "AIRFLOW__SCHEDULER__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
}

ENTRY_POINTS = {
    "apache_airflow_provider": "provider_info = airflow_mlops_provider.get_provider_info:get_provider_info",
    "airflow.plugins": "mlops = airflow_mlops_provider.ui.plugin:MlopsPlugin",
}


def _discoverable() -> None:
    """Let Airflow find provider and plugin where the package is only on the path: entry points are all it reads."""
    known = {f"{point.name} = {point.value}" for group in ENTRY_POINTS for point in entry_points(group=group)}
    missing = {} if known >= set(ENTRY_POINTS.values()) else ENTRY_POINTS
    if not missing:
        return
    info = HOME / "site" / "airflow_mlops_provider-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: airflow-mlops-provider\nVersion: 0\n")
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{line}\n" for group, line in missing.items()))
    # First: of two distributions of one name the first on the path counts.
    sys.path.insert(0, str(info.parent))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(info.parent), str(ROOT)])


DAGS.mkdir()
os.environ.update(SETTINGS)
_discoverable()
atexit.register(shutil.rmtree, HOME, ignore_errors=True)


@dataclass(frozen=True)
class Run:
    """How a DAG run ended: its state, each task's state and tries, and what each task pushed, by (task, key)."""

    state: str
    tasks: dict[str, str]
    tries: dict[str, int]
    pushed: dict[tuple[str, str], Any]


# The folders whose tests share an Airflow or an environment.
SHARING = ("live", "environments")
# What Airflow's own parts warn of when a DAG runs in this process.
AIRFLOWS_OWN = ("ignore:Using `httpx` with `starlette.testclient` is deprecated",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What waits most goes first, so that the workers end together.
    items.sort(key=lambda item: item.path.parent.name not in SHARING)
    for item in items:
        if "run_dag" in getattr(item, "fixturenames", ()):
            for warning in AIRFLOWS_OWN:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # xdist's, which not every environment has
    """Give one worker a file as a whole, or a folder. Its marks cannot say it: xdist 3.8 loses them on pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = Path(nodeid.partition("::")[0])
            return path.parent.name if path.parent.name in SHARING else str(path)

    return ByFile(config, log)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Make Airflow's database in the throwaway home."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that defines a connection, as people do it by the environment."""

    def connect(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return connect


@pytest.fixture
def dags() -> Iterator[Path]:
    """Return the folder of DAG files, empty again after the test."""
    yield DAGS
    shutil.rmtree(DAGS)
    DAGS.mkdir()


@pytest.fixture
def read_dags(dags: Path) -> Callable[[], Any]:
    """Return a function that reads the folder as the DAG processor does."""
    # A test before this one that ran tasks in this process leaves their DAG's id behind: only that one would be read.
    for name in ("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "_AIRFLOW_PARSING_CONTEXT_TASK_ID"):
        os.environ.pop(name, None)

    def read() -> Any:  # Airflow's DagBag
        from airflow.dag_processing.dagbag import BundleDagBag

        return BundleDagBag(dag_folder=str(dags), bundle_path=dags, bundle_name="dags-folder")

    return read


@pytest.fixture
def run_dag(airflow_db: None, dags: Path, read_dags: Callable[[], Any]) -> Iterator[Callable[..., Run]]:
    """Give a function that writes a DAG file of one DAG and lets Airflow run it once, in this process."""
    from airflow.api.common.delete_dag import delete_dag

    ran = set()

    def run(source: str, *, logical_date: datetime | None = None, conf: dict[str, Any] | None = None) -> Run:
        (dags / "dag_under_test.py").write_text(dedent(source))
        bag = read_dags()
        assert not bag.import_errors
        (dag,) = bag.dags.values()
        ran.add(dag.dag_id)
        return _ended(dag.test(logical_date=logical_date, run_conf=conf))

    yield run
    # Another test's DAG may have the same name: Airflow would take it for a new version of this one.
    for dag_id in ran:
        delete_dag(dag_id)


def _ended(dag_run: Any) -> Run:  # Airflow's DagRun
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        of_run = select(XComModel).where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id)
        pushed = {(row.task_id, row.key): row.value for row in session.scalars(of_run)}
        instances = dag_run.get_task_instances(session=session)
        states = {ti.task_id: str(ti.state) for ti in instances}
        tries = {ti.task_id: ti.try_number for ti in instances}
    return Run(str(dag_run.state), states, tries, pushed)

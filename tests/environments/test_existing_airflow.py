"""An Airflow that exists: somebody else's DAG and asset, a read-only dags folder, a person who is no admin.

The recommended way: the base wheel in Airflow's environment, every tool in another one, without Airflow.
"""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import httpx
import pytest

from tests.environments.airflow_cli import until
from tests.environments.make_env import run

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.standalone]

FOREIGN = """
from datetime import UTC, datetime

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, task

DAY = datetime(2024, 1, 2, tzinfo=UTC)

with DAG(
    "warehouse",
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=DAY,
    end_date=DAY,
    catchup=True,
):

    @task(outlets=[Asset(uri="s3://warehouse/orders")])
    def load():
        return 1

    load()
"""
PIPELINE = """
pipeline: orders
defaults: {{runs_on: {{python: {python}}}}}
data:
  schedule: s3://warehouse/orders
  ingest: {{orders: {{python_callable: orders.sources.orders, unique_key: [id]}}}}
"""
LOADER = """
from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
"""
SOURCES = """
import pandas


def orders(batch):
    return pandas.DataFrame({"id": [1, 2, 3], "day": [batch.id] * 3})
"""

ROWS = """
import sys

from deltalake import DeltaTable

days = DeltaTable(sys.argv[1]).to_pandas()["day"]
print(*(f"{day} {count}" for day, count in days.value_counts().items()), sep="\\n")
"""


@pytest.fixture(scope="module")
def airflow(new_airflow, tools):
    files = {
        "warehouse.py": FOREIGN,
        "orders/pipeline.py": LOADER,
        "orders/pipeline.yaml": PIPELINE.format(python=tools),
        "orders/sources.py": SOURCES,
    }
    settings = {
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "root:admin,ada:viewer",
        "MLOPS__ALLOWED_INTERPRETERS": str(tools),
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    made = new_airflow(files, settings=settings, read_only=True)
    (made.home / "passwords.json").write_text(json.dumps({"root": "root", "ada": "ada"}))
    made.read_dags()
    return made


@pytest.fixture(scope="module")
def url(airflow):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with airflow.standalone(port) as address:
        yield address


@pytest.fixture
def person(url):
    """Log somebody in."""
    with ExitStack() as clients:

        def log_in(name):
            token = httpx.post(f"{url}/auth/token", json={"username": name, "password": name}, timeout=60).json()
            headers = {"Authorization": f"Bearer {token['access_token']}"}
            return clients.enter_context(httpx.Client(base_url=f"{url}/api/v2", headers=headers, timeout=60))

        yield log_in


def runs(client, dag_id):
    return client.get(f"/dags/{dag_id}/dagRuns").raise_for_status().json()["dag_runs"]


def ended(client, dag_id):
    return [found for found in runs(client, dag_id) if found["state"] in ("success", "failed")]


def test_both_are_there_and_nothing_is_written_beside_them(airflow):
    assert airflow.json("dags", "list-import-errors") == []
    assert {row["dag_id"] for row in airflow.json("dags", "list")} == {"warehouse", "orders-data"}
    assert not list(airflow.dags.rglob("__pycache__"))


def test_a_foreign_asset_wakes_the_pipeline_whose_step_runs_in_the_other_environment(airflow, person, tools):
    admin = person("root")
    for dag_id in ("orders-data", "warehouse"):
        admin.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()
    (emitted,) = until(lambda: ended(admin, "warehouse"), timeout_s=600)
    assert emitted["state"] == "success"
    (found,) = until(lambda: ended(admin, "orders-data"), timeout_s=600)
    assert (found["run_type"], found["state"]) == ("asset_triggered", "success")
    rows = run(tools, "-c", ROWS, airflow.home / "lake" / "orders").splitlines()
    assert rows == ["2024-01-02 3"]


def test_who_may_only_look_sees_the_pipeline_and_starts_nothing(person):
    ada = person("ada")
    seen = {dag["dag_id"] for dag in ada.get("/dags").raise_for_status().json()["dags"]}
    assert {"warehouse", "orders-data"} <= seen
    before = runs(ada, "orders-data")
    assert ada.post("/dags/orders-data/dagRuns", json={"logical_date": None}).status_code == 403
    assert runs(ada, "orders-data") == before

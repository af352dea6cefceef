"""The demo's pipeline the recommended way: the base wheel in Airflow, every step in an environment without it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess

import httpx
import pytest

from tests.environments.airflow_cli import until
from tests.environments.make_env import ROOT, run, uv

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.standalone]

# One batch is enough for a first champion here: two months show every step, promotion and scoring among them.
APART = """\
  apart: {{defaults: {{runs_on: {{python: {python}}}}}, training: {{first_after: 1}}}}
"""
SECTIONS = ("data", "score", "monitor", "train")
FLIGHTS = """
import sys

from deltalake import DeltaTable

rows = DeltaTable(sys.argv[1] + "/predictions/flight_delay").to_pandas()
flights = DeltaTable(sys.argv[1] + "/flights_to_score").to_pandas()
february = flights[flights["_batch"] == "2013-02-01"]
print(len(february), *(f"{batch}:{len(found)}" for batch, found in rows.groupby("_batch")))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def python(tools):
    """The tools and what the pipeline's own functions import, as the image has them."""
    uv("pip", "install", "--python", tools, "-r", ROOT / "docker" / "pipeline.txt")
    return tools


@pytest.fixture(scope="module")
def mlflow(python, tmp_path_factory):
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [
        str(python.parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts"),
    ]  # fmt: skip
    environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with (home / "log").open("wb") as sink:
        server = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="module")
def airflow(new_airflow, python, mlflow):
    listed = run("git", "ls-files", "dags/flights.*", "include", "dbt_project", "expectations", ".airflowignore")
    files = {name: (ROOT / name).read_text() for name in listed.split()}
    files["dags/flights.yaml"] += APART.format(python=python)
    settings = {
        "MLOPS__ALLOWED_INTERPRETERS": str(python),
        "MLOPS__ENVIRONMENT": "apart",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "root:admin",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    made = new_airflow(
        files, settings=settings, connections={"mlflow_default": {"conn_type": "mlflow", "host": mlflow}}
    )
    (made.home / "passwords.json").write_text(json.dumps({"root": "root"}))
    made.read_dags()
    return made


@pytest.fixture(scope="module")
def client(airflow):
    with airflow.standalone(free_port()) as url:
        answer = httpx.post(f"{url}/auth/token", json={"username": "root", "password": "root"}, timeout=60)
        headers = {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}
        with httpx.Client(base_url=f"{url}/api/v2", headers=headers, timeout=60) as made:
            yield made


def runs(client, section):
    """Return the states of a section's runs, oldest first; a task that failed ends the test with its name."""
    found = client.get(f"/dags/flights-{section}/dagRuns", params={"order_by": "run_after"}).raise_for_status().json()
    for one in found["dag_runs"]:
        assert one["state"] != "failed", failed_tasks(client, one)
    return [one["state"] for one in found["dag_runs"]]


def failed_tasks(client, one):
    path = f"/dags/{one['dag_id']}/dagRuns/{one['dag_run_id']}/taskInstances"
    states = {task["task_id"]: task["state"] for task in client.get(path).json()["task_instances"]}
    return one["dag_id"], states


def month(client, number):
    body = {"logical_date": f"2013-{number:02}-01T05:00:00Z"}
    client.post("/dags/flights-data/dagRuns", json=body).raise_for_status()


def test_two_months_of_flights_run_apart_from_airflow(airflow, client, python, mlflow):
    assert airflow.json("dags", "list-import-errors") == []
    for section in SECTIONS:
        client.patch(f"/dags/flights-{section}", json={"is_paused": False}).raise_for_status()
    month(client, 1)
    until(lambda: runs(client, "train") == ["success"], timeout_s=1200)
    month(client, 2)
    until(lambda: runs(client, "data") == ["success"] * 2, timeout_s=900)
    until(lambda: runs(client, "score").count("success") >= 2, timeout_s=900)
    until(lambda: runs(client, "monitor").count("success") >= 2, timeout_s=900)
    flights, scored = run(python, "-c", FLIGHTS, airflow.home / "lake").split()
    assert scored == f"2013-02-01:{flights}"
    alias = httpx.get(
        f"{mlflow}/api/2.0/mlflow/registered-models/alias", params={"name": "flight_delay", "alias": "champion"}
    )
    assert alias.json()["model_version"]["version"] == "1"


def test_doctor_finds_all_of_it_in_the_other_environment(airflow, python):
    found = json.loads(airflow.tool("airflow-mlops", "doctor", "--python", str(python), "--format", "json").stdout)
    there = found.get("interpreter", found)
    assert set(there["missing"]) <= {"s3"}

"""The pages inside a real Airflow API server: who may see them, and what they show."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import BatchDrift, BatchPerformance, DriftResult
from airflow_mlops_provider.contracts.validate import DatasetVerdict, ValidateResult
from airflow_mlops_provider.runners import RUNNERS
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.testing import RecordingRunner
from airflow_mlops_provider.ui import results

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Using `httpx`")  # Airflow's server's own

SOURCE = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.monitor import DriftOperator
from airflow_mlops_provider.operators.validate import ValidateOperator

with DAG("shown", schedule=None) as dag:
    ValidateOperator(task_id="validate", datasets={{"flights": {{}}}}, lake={lake!r})
    DriftOperator(task_id="drift", current={{"name": "a"}}, reference={{"name": "b"}}, lake={lake!r})
"""
ROWS = [
    {"id": 1, "note": "<script>alert(1)</script>", "_reasons": "wind_speed > 200", BATCH_COLUMN: "b1"},
    {"id": 2, "note": None, "_reasons": "no origin", BATCH_COLUMN: "b1"},
    {"id": 3, "note": "of another batch", "_reasons": "", BATCH_COLUMN: "b0"},
]


@pytest.fixture
def run(run_dag, monkeypatch, tmp_path):
    """Return a function that runs a validation and a drift whose results are given, and gives their addresses."""
    lake = Lake(str(tmp_path))
    lake.write_once("quarantine/flights", pa.Table.from_pylist(ROWS), app="1")
    lake.put(f"{lake.root}/_reports/shown/b1.html", b"<html>figures</html>")

    def run(table: str = "quarantine/flights", report: str = "_reports/shown/b1.html") -> dict[str, str]:
        verdict = DatasetVerdict(
            verdict="refused", rows=9, quarantined=2, quarantine=DatasetRef(name=table, version=lake.version(table))
        )
        drift = BatchDrift(batch="b1", rows=9, columns=(), drifted=(), paged=(), report=report)
        answers = {
            "validate": ValidateResult(batch="b1", verdict="refused", datasets={"flights": verdict}),
            "drift": DriftResult(batches=(drift,)),
        }
        with monkeypatch.context() as patched:
            patched.setitem(RUNNERS, "local", RecordingRunner(answers))
            ended = run_dag(SOURCE.format(lake=lake.root))
        names = {"validate": "_link_QuarantineLink", "drift": "_link_DriftReportLink"}
        return {task: urlsplit(ended.pushed[task, key]).path for task, key in names.items()}

    return run


@pytest.fixture
def get(monkeypatch, airflow_db):
    """Return a function that asks a real API server as a user of a role; None: nobody."""
    monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "vera:viewer,olga:op")
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    client = TestClient(create_app(apps="core"), raise_server_exceptions=False)

    def get(path: str, role: str | None = "viewer"):
        headers = {}
        if role is not None:
            user = SimpleAuthManagerUser(username="vera", role=role or None)
            headers = {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}
        return client.get(path, headers=headers)

    return get


def test_quarantined_rows_of_the_batch_are_shown_as_text(run, get):
    page = get(run()["validate"])
    assert page.status_code == 200
    assert "2 of 2 rows" in page.text
    assert "wind_speed &gt; 200" in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>" not in page.text
    assert "of another batch" not in page.text
    assert page.headers["content-security-policy"].startswith("sandbox;")


def test_a_report_is_shown_in_a_sandbox(run, get):
    page = get(run()["drift"])
    assert (page.status_code, page.text) == (200, "<html>figures</html>")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("", 403), ("viewer", 200)])
def test_only_who_may_read_the_tasks_results_sees_them(run, get, role, status):
    for path in run().values():
        assert get(path, role).status_code == status


def test_the_history_of_the_tasks_pipeline_is_shown(run, get, tmp_path):
    run_at = run()["drift"].removesuffix("/report")
    monitoring = Monitoring(Lake(str(tmp_path)), "shown")
    metrics = {"log_loss": MetricEstimate(value=0.4712, se=0.01, rows=9)}
    record = BatchPerformance(batch="b<1>", version="3", rows=9, labelled=8, metrics=metrics)
    end = datetime(2013, 2, 1, tzinfo=UTC)
    monitoring.add("performance", "b<1>", end, record, model="m", version="3", run_key="r")
    page = get(f"{run_at}/monitoring")
    assert page.status_code == 200
    assert "b&lt;1&gt;: 0.4712 (se 0.0100)" in page.text
    assert "b<1>" not in page.text
    assert page.headers["content-security-policy"].startswith("sandbox;")
    assert get(f"{run_at}/monitoring", None).status_code == 401


def test_a_result_cannot_point_elsewhere(run, get, tmp_path):
    (tmp_path / "secret.html").write_text("s3cret")
    for report in ("secret.html", "_reports/../secret.html", str(tmp_path / "secret.html")):
        page = get(run(report=report)["drift"])
        assert page.status_code == 404
        assert "s3cret" not in page.text
    lake = Lake(str(tmp_path))
    lake.write_once("customers", pa.table({"a": ["s3cret"], BATCH_COLUMN: ["b1"]}), app="1")
    assert get(run(table="customers")["validate"]).status_code == 404


def test_without_the_tools_here_another_interpreter_reads_the_lake(run, get, monkeypatch):
    path = run()["validate"]
    monkeypatch.setattr(results, "find_spec", lambda _name: None)
    missing = get(path)
    assert (missing.status_code, "airflow-mlops-provider[lake]" in missing.text) == (404, True)
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_INTERPRETERS", sys.executable)
    assert "2 of 2 rows" in get(path).text


def test_what_is_not_there_is_said(run, get):
    path = run()["drift"]
    assert get(path.replace("/drift/", "/validate/")).json()["detail"] == "task validate wrote no report in this run"
    assert get(re.sub("manual__[^/]*", "other", path)).json()["detail"] == "task drift has no result in this run"


def test_every_route_only_reads_and_asks_who_is_there():
    from airflow_mlops_provider.ui.app import pages

    routes = [route for route in pages().routes if hasattr(route, "methods")]
    assert {route.path.rpartition("/")[2] for route in routes} == {"report", "quarantine", "monitoring"}
    assert all(route.methods <= {"GET", "HEAD"} and route.dependencies for route in routes)

"""An Airflow that is given a folder of a hundred pipeline files and no loader: seven are broken, each in its own way.

Everything is as its people see it: the live DAG processor, the API behind the UI's import errors, a run.
"""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from airflow_mlops_provider.steps.lake import Lake
from tests.environments.airflow_cli import Airflow, until

pytestmark = [pytest.mark.environment, pytest.mark.slow, pytest.mark.standalone]

GOOD = """\
pipeline: {name}
data:
  schedule: "@daily"
  start: 2026-01-01
  ingest: {{{name}: {{python_callable: lib.sources.rows, unique_key: [id]}}}}
"""
SOURCES = """\
import pandas


def rows(batch):
    return pandas.DataFrame({"id": [1, 2, 3], "day": [batch.id] * 3})
"""
# What is wrong, as bytes of a file, and where and what the import error says of it.
BROKEN = {
    "syntax": (b"pipeline: syntax\ndata: {ingest: [}\n", "syntax.yaml:2:1"),
    "encoding": ("pipeline: encoding\n# é\n".encode("latin-1"), "encoding.yaml:2:1 not UTF-8 text"),
    "kind": (GOOD.format(name="kind").replace("2026-01-01", "soon").encode(), "kind.yaml:4:10"),
    "operator": (
        (GOOD.format(name="operator") + "tasks: {hello: {operator: lib.tasks.Helo, after: ingest}}\n").encode(),
        "operator.yaml:6:",
    ),
    "missing": (
        (GOOD.format(name="missing") + "  validate: {missing: {expectation_suite: not_there.json}}\n").encode(),
        "missing.yaml:6:",
    ),
    "cycle": (
        (
            GOOD.format(name="cycle")
            + "tasks:\n  one: {operator: lib.tasks.Hello, after: two}\n"
            + "  two: {operator: lib.tasks.Hello, after: one}\n"
        ).encode(),
        "cycle.yaml:7:",
    ),
    "raising": (
        (GOOD.format(name="raising") + "notify: {notifier: lib.raising.Notifier}\n").encode(),
        "raising.yaml:6:",
    ),
}
TASKS = """\
from airflow.sdk import BaseOperator


class Hello(BaseOperator):
    def execute(self, context):
        print("hello")
"""
RAISING = """\
class Notifier:
    pass


raise RuntimeError("no such thing here")
"""
PATIENCE_S = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder: its owner writes YAML and code into it, Airflow nothing."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "lib").mkdir()
    for name, text in {"sources": SOURCES, "tasks": TASKS, "raising": RAISING}.items():
        (folder / "lib" / f"{name}.py").write_text(text)
    for i in range(93):
        place = folder / f"team_{i % 5}"
        place.mkdir(exist_ok=True)
        (place / f"p{i:02}.yaml").write_text(GOOD.format(name=f"p{i:02}"))
    for name, (content, _) in BROKEN.items():
        (folder / f"{name}.yaml").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, folder):
    bundle = {
        "name": "pipelines",
        "classpath": "airflow_mlops_provider.factory.yaml_bundle.YamlBundle",
        "kwargs": {"path": str(folder), "refresh_interval": 2},
    }
    home = tmp_path_factory.mktemp("home")
    settings = {
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        # Longer than this test: what it sees in between, it sees because a file changed.
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }
    airflow = Airflow(Path(sys.executable), home, home / "none", settings)
    airflow.run("db", "migrate")
    return airflow


@pytest.fixture(scope="module")
def api(airflow):
    """Yield a client of the running Airflow's API, logged in as its admin."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with ExitStack() as stack:
        url = stack.enter_context(airflow.standalone(port))
        passwords = json.loads((airflow.home / "passwords.json").read_text())
        (name, password), *_ = passwords.items()
        answer = httpx.post(f"{url}/auth/token", json={"username": name, "password": password}, timeout=30)
        token = answer.raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        yield stack.enter_context(httpx.Client(base_url=f"{url}/api/v2", headers=headers, timeout=30))


def found(api: httpx.Client, path: str, key: str) -> list:
    return api.get(path, params={"limit": 200}).raise_for_status().json()[key]


def import_errors(api: httpx.Client) -> dict[str, str]:
    return {Path(e["filename"]).name: e["stack_trace"] for e in found(api, "/importErrors", "import_errors")}


def dags(api: httpx.Client) -> set[str]:
    return {dag["dag_id"] for dag in found(api, "/dags", "dags")}


def test_ninety_three_are_there_and_seven_say_what_is_wrong_and_where(api):
    until(lambda: len(dags(api)) + len(import_errors(api)) >= 100, timeout_s=PATIENCE_S)

    errors = import_errors(api)

    assert dags(api) == {f"p{i:02}-data" for i in range(93)}
    assert set(errors) == {f"{name}_yaml.py" for name in BROKEN}
    said = {name: place for name, (_, place) in BROKEN.items() if place not in errors[f"{name}_yaml.py"]}
    assert said == {}, {name: errors[f"{name}_yaml.py"] for name in said}


def test_a_pipeline_runs_with_the_folders_own_code(api, airflow):
    until(lambda: "p00-data" in dags(api), timeout_s=PATIENCE_S)
    api.patch("/dags/p00-data", json={"is_paused": False}).raise_for_status()
    body = {"logical_date": "2026-01-01T00:00:00Z"}
    run = api.post("/dags/p00-data/dagRuns", json=body).raise_for_status().json()["dag_run_id"]

    def ended() -> str | None:
        state = api.get(f"/dags/p00-data/dagRuns/{run}").raise_for_status().json()["state"]
        return state if state in ("success", "failed") else None

    assert until(ended, timeout_s=PATIENCE_S) == "success"
    days = Lake(str(airflow.home / "lake")).read("p00")["day"].to_pylist()
    assert days.count("2026-01-01") == 3


def test_what_changes_in_the_folder_is_seen_without_a_restart(api, folder):
    until(lambda: len(import_errors(api)) == 7, timeout_s=PATIENCE_S)

    (folder / "kind.yaml").write_text(GOOD.format(name="kind"))
    (folder / "missing.yaml").unlink()
    (folder / "new.yaml").write_text(GOOD.format(name="new"))
    (folder / "team_0" / "p00.yaml").write_text(f"{GOOD.format(name='p00')}tags: [edited]\n")
    (folder / "team_1" / "defaults.yaml").write_text("tags: [defaulted]\n")

    until(lambda: {"kind-data", "new-data"} <= dags(api), timeout_s=PATIENCE_S)
    left = {f"{name}_yaml.py" for name in BROKEN if name not in ("kind", "missing")}
    until(lambda: set(import_errors(api)) == left, timeout_s=PATIENCE_S)
    until(lambda: "defaulted" in str(api.get("/dags/p01-data").json()["tags"]), timeout_s=PATIENCE_S)
    until(lambda: "edited" in str(api.get("/dags/p00-data").json()["tags"]), timeout_s=PATIENCE_S)

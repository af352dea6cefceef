"""The tools in an environment of their own: whole, without Airflow, and a worker there answers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.runners.check import check
from airflow_mlops_provider.runners.interpreter import Interpreter
from airflow_mlops_provider.runners.requirements import pinned_by
from airflow_mlops_provider.steps.registry import STEPS
from tests.environments.make_env import run, uv

pytestmark = [pytest.mark.environment, pytest.mark.slow]

ROWS = """
import pandas

def rows(batch):
    return pandas.DataFrame({"id": [1, 2], "day": [batch.id] * 2})
"""


def test_what_is_installed_fits_together(tools):
    uv("pip", "check", "--python", tools)


def test_no_airflow_is_there(tools):
    found = run(tools, "-c", "import importlib.util as u; print(u.find_spec('airflow'))")
    assert found.strip() == "None"
    assert importlib.util.find_spec("airflow"), "here it is, so the probe can see one"


def test_every_extra_but_s3_is_whole(tools):
    assert set(check(str(tools))["missing"]) <= {"s3"}


def test_a_worker_runs_a_step_there(tools, tmp_path):
    (tmp_path / "sources.py").write_text(ROWS)
    day = {"id": "2024-01-01", "start": "2024-01-01T00:00:00+00:00", "end": "2024-01-02T00:00:00+00:00"}
    spec = {
        "pipeline": "smallest",
        "lake": str(tmp_path / "lake"),
        "bundle": str(tmp_path),
        "batch": day | {"timezone": "UTC"},
        "datasets": {"rows": {"python_callable": "sources.rows", "unique_key": ["id"]}},
    }
    request = Request("ingest", spec, run_key="smallest/ingest/2024-01-01")
    outcome = Interpreter(str(tools)).run(request, emit=lambda message: None)
    assert outcome.status == "succeeded", outcome
    assert outcome.result["datasets"]["rows"]["rows"] == 2


def test_doctor_describes_that_interpreter_and_asks_another(tools):
    own = tools.parent / "airflow-mlops"
    there = json.loads(run(own, "doctor", "--format", "json"))
    assert there["airflow"] is None
    assert there["executable"] == str(tools)
    asked = json.loads(run(own, "doctor", "--python", sys.executable, "--format", "json"))
    assert asked["executable"] == sys.executable


EVERY_STEP = """
import sys
from airflow_mlops_provider.steps.registry import STEPS
for step in STEPS.values():
    assert callable(step.run) and step.spec and step.result, step
import airflow_mlops_provider.runners.pod
print(len(STEPS), sorted(name for name in sys.modules if name.partition(".")[0] == "airflow"))
"""


def test_every_step_and_the_main_of_a_pod_are_imported_there(tools):
    assert run(tools, "-c", EVERY_STEP).strip() == f"{len(STEPS)} []"


@pytest.mark.parametrize("step", STEPS)
def test_what_a_step_needs_is_listed_and_nothing_of_airflow(tools, step):
    lines = pinned_by(str(tools), step)
    assert any(line.startswith("deltalake==") for line in lines) or "lake" not in STEPS[step].extras
    assert not [line for line in lines if "airflow" in line]


def test_every_command_but_test_works_there(tools, tmp_path):
    def said(*command, status=0):
        program = [tools.parent / "airflow-mlops", *command]
        done = subprocess.run(program, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == status, (command, done.stdout[-1500:], done.stderr[-1500:])
        return done.stdout + done.stderr

    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    rows = [f"{i},{i % 50},{'yes' if i % 50 > 25 else 'no'},{20 + i % 7}" for i in range(600)]
    (tmp_path / "visits.csv").write_text("\n".join(["id,age,churned,visits", *rows]) + "\n")
    said("init", "churn", "--from", "visits.csv", "--target", "churned")
    file = "churn/churn.yaml"

    assert "no error" in said("lint", file)
    assert "churn-train" in said("plan", file)
    assert json.loads(said("schema"))["properties"]
    assert json.loads(said("suite", "suggest", "visits.csv"))["expectations"]
    start = json.loads(said("plan", file, "--format", "json"))["dags"][0]["schedule"]["start"]
    said("run", file, "data", "--batch", start)
    said("run", file, "training")
    said("quarantine", "list")
    said("cost", "--lake", ".mlops/lake")
    assert "mlflow" in said("requirements", "train")
    assert "retrain" in said("retrain", "simulate", "--help")
    assert "reference" in said("adopt", "--help")
    assert "'airflow'" in said("test", file, status=1)

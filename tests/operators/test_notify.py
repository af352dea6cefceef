"""Who is told of what."""

from __future__ import annotations

import json

import pytest

from airflow_mlops_provider.contracts.monitor import BatchDrift, DriftResult
from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.contracts.validate import DatasetVerdict, ValidateResult

NOTIFIER = """
import json
from pathlib import Path
from airflow.sdk import DAG, BaseNotifier
from airflow_mlops_provider.operators.monitor import DriftOperator
from airflow_mlops_provider.operators.notify import FailureCallback
from airflow_mlops_provider.operators.validate import ValidateOperator

class ToFile(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, path, text="{{ mlops.event }} {{ dag.dag_id }}: {{ mlops.message }}"):
        super().__init__()
        self.path, self.text = path, text

    def notify(self, context):
        with Path(self.path).open("a") as file:
            print(self.text, file=file)

class Broken(BaseNotifier):
    def notify(self, context):
        raise ConnectionError("no chat here")

"""


@pytest.fixture
def told(tmp_path):
    path = tmp_path / "alerts.txt"
    return lambda: path.read_text().splitlines() if path.exists() else [], path


def _refused() -> ValidateResult:
    verdict = DatasetVerdict(verdict="refused", rows=9, quarantined=4, refused_because=("rows: 4 of 9 failed",))
    return ValidateResult(batch="b1", verdict="refused", datasets={"flights": verdict})


VALIDATE = """
with DAG("checks", schedule=None) as dag:
    to_file = ToFile({path})
    ValidateOperator(
        task_id="validate", datasets={{"flights": {{}}}}, notify=[Broken(), to_file],
        on_failure_callback=FailureCallback(to_file, "checks"), retries=0,
    )
"""


def test_a_refusal_is_told_once_also_where_another_notifier_fails(run_dag, runner, told):
    lines, path = told
    runner.answers["validate"] = _refused()
    run = run_dag(NOTIFIER + VALIDATE.format(path=json.dumps(str(path))))
    assert run.tasks == {"validate": "failed"}
    assert lines() == ["refused checks: batch b1 refused: flights: rows: 4 of 9 failed"]


def test_a_fault_is_told_as_a_fault(run_dag, runner, told):
    lines, path = told
    runner.answers["validate"] = Outcome("failed", kind="bad_input", error="no file")
    run_dag(NOTIFIER + VALIDATE.format(path=json.dumps(str(path))))
    assert lines() == ["failed checks: validate: validate: no file"]


DRIFT = """
with DAG("watch", schedule=None) as dag:
    DriftOperator(task_id="drift", current={{"name": "a"}}, reference={{"name": "b"}}, notify=ToFile({path}),
                  notify_on={on})
"""


@pytest.mark.parametrize(
    ("on", "expected"), [("None", ["drift watch: batch None: carrier drifted"]), ("('refused',)", [])]
)
def test_only_chosen_events_are_told(run_dag, runner, told, on, expected):
    lines, path = told
    batch = BatchDrift(batch=None, rows=5, columns=(), drifted=("carrier", "temp"), paged=("carrier",))
    runner.answers["drift"] = DriftResult(batches=(batch,))
    run = run_dag(NOTIFIER + DRIFT.format(path=json.dumps(str(path)), on=on))
    assert run.state == "success"
    assert lines() == expected

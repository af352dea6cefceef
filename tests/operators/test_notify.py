"""Who is told of what."""

from __future__ import annotations

import json

import pytest

from airflow_mlops_provider.contracts.monitor import BatchDrift, ColumnDrift, DriftResult, PredictionEffect, Shares
from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.contracts.validate import DatasetVerdict, ValidateResult
from airflow_mlops_provider.operators.monitor import DriftOperator

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


def drifted(name, *, effect=None, shares=None):
    figures = {"psi": 0.3, "jensen_shannon": 0.21, "null_rate": 0.0, "reference_null_rate": 0.0}
    detail = "Jensen-Shannon 0.210 over 0.100"
    return ColumnDrift(column=name, **figures, drifted=True, detail=detail, effect=effect, shares=shares)


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (
            "None",
            (
                "drift watch: batch b2: temp drifted: Jensen-Shannon 0.210 over 0.100, predictions' mean -0.0310, each "
                "by 0.0520; carrier drifted: Jensen-Shannon 0.210 over 0.100; last decision b1: none: calm"
            ),
        ),
        ("('refused',)", None),
    ],
)
def test_an_incident_is_told_with_columns_effects_link_plot_and_decision(run_dag, runner, told, on, expected):
    lines, path = told
    shares = Shares(places=("AA", "null"), reference=(0.7, 0.3), current=(0.2, 0.8))
    columns = (
        drifted("carrier", shares=shares),
        drifted("temp", effect=PredictionEffect(mean=-0.031, each=0.052, rows=2000)),
        drifted("wind"),
    )
    names = {"drifted": ("carrier", "temp", "wind"), "paged": ("carrier", "temp", "wind")}
    batch = BatchDrift(
        batch="b2", rows=5, columns=columns, **names, began=("carrier", "temp"), decision="b1: none: calm"
    )
    going_on = batch.model_copy(update={"batch": "b3", "began": ()})
    runner.answers["drift"] = DriftResult(batches=(batch, going_on))
    text = ", text='{{ mlops.event }} {{ dag.dag_id }}: {{ mlops.message }}|{{ mlops.link }}|{{ mlops.plot }}'"
    run = run_dag(NOTIFIER + DRIFT.format(path=json.dumps(str(path)) + text, on=on))
    assert run.state == "success"
    if expected is None:
        assert lines() == []
        return
    (line,) = lines()
    message, link, plot = line.split("|")
    assert message == expected
    assert link.endswith("/drift/-1/monitoring")
    assert "/mlops/watch/" in link
    assert "<title>AA: 70.00% before, 20.00% now</title>" in plot


def test_what_rows_hold_is_not_in_the_xcom():
    shares = Shares(places=("mail@example.org", "null"), reference=(0.7, 0.3), current=(0.2, 0.8))
    batch = BatchDrift(batch="b", rows=5, columns=(drifted("mail", shares=shares),), drifted=("mail",), paged=())
    operator = DriftOperator(task_id="drift", current={"name": "a"}, reference={"name": "b"})
    found = operator.succeeded(DriftResult(batches=(batch,)).model_dump(mode="json"), {})
    assert "mail@example.org" not in json.dumps(found)
    assert found["batches"][0]["columns"][0]["jensen_shannon"] == 0.21

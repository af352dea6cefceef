"""The governor's word in Airflow: one training a decision, none without."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.contracts.decide import DecideResult, Decision

SOURCE = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.decide import RetrainDecisionOperator, StartTrainingOperator

with DAG("monitor", schedule=None) as dag:
    decide = RetrainDecisionOperator(
        task_id="decide", model="delay", labels="flight_labels", retrain={"when": {"gap": {"abs_above": 0.04}}}
    )
    StartTrainingOperator(task_id="start_training", decision=decide.output, trigger_dag_id="no_such_dag")
"""


def decision(word: str) -> Decision:
    return Decision(id="decision__1", batch="2013-04-01", at="2013-05-01T04:00:00Z", decision=word, reason="gap -.077")


@pytest.mark.parametrize("word", ["none", "wait"])
def test_no_training_is_started_without_a_word_for_it(run_dag, runner, word):
    runner.answers["decide"] = DecideResult(decisions=(decision(word),))
    run = run_dag(SOURCE)
    assert run.tasks == {"decide": "success", "start_training": "skipped"}
    assert run.state == "success"
    assert run.pushed["decide", "return_value"]["decisions"][0]["reason"] == "gap -.077"


def test_a_training_has_the_id_of_its_decision(run_dag, runner):
    from airflow.sdk.exceptions import DagRunTriggerException

    from airflow_mlops_provider.operators.decide import StartTrainingOperator

    result = DecideResult(decisions=(decision("retrain"),), training=decision("retrain")).model_dump(mode="json")
    start = StartTrainingOperator(task_id="start", decision=result, trigger_dag_id="flights-train")
    with pytest.raises(DagRunTriggerException) as asked:
        start.execute({})
    assert (asked.value.trigger_dag_id, asked.value.dag_run_id) == ("flights-train", "decision__1")
    assert asked.value.skip_when_already_exists
    assert asked.value.conf["decision"]["batch"] == "2013-04-01"


def test_a_training_dag_that_is_not_there_fails_the_start_loudly(run_dag, runner):
    runner.answers["decide"] = DecideResult(decisions=(decision("retrain"),), training=decision("retrain"))
    run = run_dag(SOURCE)
    assert run.tasks == {"decide": "success", "start_training": "failed"}


NOTIFY = """
from pathlib import Path
from airflow.sdk import BaseNotifier

class ToFile(BaseNotifier):
    def notify(self, context):
        with Path({path!r}).open("a") as file:
            print(context["mlops"]["event"], context["mlops"]["message"], sep=": ", file=file)
"""


def test_refusals_in_a_row_are_told_with_the_decision(run_dag, runner, tmp_path):
    path = tmp_path / "alerts.txt"
    alert = decision("wait").model_copy(update={"alert": "3 challengers in a row were refused"})
    runner.answers["decide"] = DecideResult(decisions=(decision("none"), alert))
    source = NOTIFY.format(path=str(path)) + SOURCE.replace('labels="flight_labels",', 'labels="l", notify=ToFile(),')
    assert run_dag(source).state == "success"
    assert path.read_text() == (
        "refused: delay, batch 2013-04-01: 3 challengers in a row were refused; wait: gap -.077\n"
    )

"""What each outcome of a step becomes in Airflow: DESIGN's table, run by Airflow itself."""

from __future__ import annotations

import json

import pytest

from airflow_mlops_provider.contracts.evaluate import EvaluateResult
from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.contracts.validate import DatasetVerdict, ValidateResult

TRAINING = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.evaluate import EvaluateOperator
from airflow_mlops_provider.operators.promote import MlflowPromoteOperator, MlflowRegisterOperator
from airflow_mlops_provider.operators.train import TrainOperator

LABELS = {"entities": "labels", "target": "late"}
with DAG("training", schedule=None) as dag:
    train = TrainOperator(task_id="train", model="delay", dataset=LABELS, estimator="sklearn.dummy.DummyClassifier")
    evaluate = EvaluateOperator(task_id="evaluate", model="delay", dataset=LABELS, challenger=train.output)
    register = MlflowRegisterOperator(
        task_id="register", model="delay", trained=train.output, verdict=evaluate.output
    )
    register >> MlflowPromoteOperator(
        task_id="promote", model="delay", version="{{ ti.xcom_pull(task_ids='register')['version'] }}"
    )
"""


def test_an_accepted_challenger_is_promoted_and_each_task_links_to_what_it_made(run_dag, runner):
    runner.answers["evaluate"] = EvaluateResult(verdict="accepted", reason="better by .02", champion_sequence=3)
    run = run_dag(TRAINING)
    assert run.state == "success"
    assert set(run.tasks.values()) == {"success"}
    assert run.pushed["train", "_link_MlflowRunLink"] == "http://mlflow.test:5000/#/experiments/7/runs/abc"
    assert run.pushed["promote", "_link_ModelVersionLink"] == "http://mlflow.test:5000/#/models/delay/versions/5"
    assert "s3cret" not in json.dumps([list(run.pushed.values())])
    by_step = {request.step: request for request in runner.requests}
    assert by_step["promote"].spec["version"] == "5"
    assert by_step["evaluate"].spec["challenger"]["run_id"] == "abc"
    assert by_step["train"].connections["mlflow_default"]["password"] == "s3cret"
    assert by_step["train"].run_key.startswith("training/train/manual__")


def test_a_refused_challenger_is_registered_and_its_promotion_skipped(run_dag, runner):
    runner.answers["evaluate"] = EvaluateResult(verdict="refused", reason="gain +.0158, p .124 > .1")
    run = run_dag(TRAINING)
    assert run.tasks == {"train": "success", "evaluate": "success", "register": "success", "promote": "skipped"}
    assert run.state == "success"
    assert run.pushed["evaluate", "return_value"]["reason"] == "gain +.0158, p .124 > .1"


VALIDATION = """
from datetime import timedelta
from airflow.sdk import DAG
from airflow_mlops_provider.operators.transform import DbtBuildOperator
from airflow_mlops_provider.operators.validate import ValidateOperator

BATCH = {"id": "2013-04-01", "start": "2013-04-01T04:00:00Z", "end": "2013-05-01T04:00:00Z"}
with DAG("validation", schedule=None, default_args={"retries": 1, "retry_delay": timedelta(0)}) as dag:
    ValidateOperator(task_id="validate", datasets={"flights": {}}, batch=BATCH) >> DbtBuildOperator(
        task_id="transform", project_dir="dbt", batch=BATCH
    )
"""


def test_a_refused_batch_fails_at_once_and_leaves_its_verdict(run_dag, runner, caplog):
    verdict = DatasetVerdict(verdict="refused", rows=100, quarantined=40, refused_because=("40 % of rows failed",))
    runner.answers["validate"] = ValidateResult(batch="2013-04-01", verdict="refused", datasets={"flights": verdict})
    run = run_dag(VALIDATION)
    assert run.tasks == {"validate": "failed", "transform": "upstream_failed"}
    assert run.state == "failed"
    assert run.tries["validate"] == 1
    assert run.pushed["validate", "return_value"]["datasets"]["flights"]["quarantined"] == 40


@pytest.mark.parametrize(("kind", "tries"), [("transient", 2), ("lost", 2), ("bad_input", 1), ("bug", 1)])
def test_only_a_fault_that_a_retry_may_get_past_is_retried(run_dag, runner, kind, tries):
    runner.answers["validate"] = Outcome("failed", kind=kind, error="flights.csv: no such file", trace="Traceback ...")
    run = run_dag(VALIDATION)
    assert run.tasks["validate"] == "failed"
    assert run.tries["validate"] == tries
    assert len({request.run_key for request in runner.requests}) == 1
    assert runner.requests[0].run_key == "validation/validate/2013-04-01"

"""What an operator asks of its step, and what it refuses to ask."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider.contracts.ingest import IngestResult
from airflow_mlops_provider.contracts.maintain import MaintainResult
from airflow_mlops_provider.contracts.protocol import Message

INGEST = """
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow_mlops_provider.operators.ingest import IngestOperator

with DAG("ingestion", schedule={schedule}) as dag:
    IngestOperator(
        task_id="ingest",
        datasets={{"orders": {{"sql": "select * from {{{{ params.table }}}}", "conn_id": "shop"}}}},
        params={{"table": "orders"}},
        {more}
    )
"""
MONTHLY = "CronDataIntervalTimetable('@monthly', 'America/New_York')"


def test_the_data_interval_is_the_batch_and_templates_are_filled_in(run_dag, runner, connect, monkeypatch):
    connect("shop", conn_type="postgres", host="db", login="ann", password="s3cret")
    connect("lake_default", conn_type="mlops_lake", login="key", extra={"region_name": "eu"})
    runner.answers["ingest"] = IngestResult(batch="2013-03-01", datasets={})
    source = INGEST.format(schedule=MONTHLY, more="timezone='America/New_York'")
    run = run_dag(source, logical_date=datetime(2013, 4, 1, 4, tzinfo=UTC))
    assert run.state == "success"
    (request,) = runner.requests
    assert request.spec["datasets"]["orders"]["sql"] == "select * from orders"
    assert request.spec["batch"]["id"] == "2013-03-01"
    assert request.spec["pipeline"] == "ingestion"
    assert request.spec["lake"].endswith("/lake")
    assert request.spec["bundle"].endswith("/dags")
    assert "publish" not in request.spec
    assert request.run_key == "ingestion/ingest/2013-03-01"
    assert request.connections["shop"]["password"] == "s3cret"
    assert request.connections["lake_default"]["extra"] == {"region_name": "eu"}
    assert "mlflow_default" not in request.connections


def test_without_a_batch_it_says_the_way_out(run_dag, runner, connect, capsys):
    connect("shop", conn_type="postgres", host="db")
    run = run_dag(INGEST.format(schedule="'@monthly'", more=""), logical_date=datetime(2013, 4, 1, tzinfo=UTC))
    assert run.tasks == {"ingest": "failed"}
    assert not runner.requests
    assert (
        "ingest: no batch: this DAG run has no data interval, nor has one whose asset woke it. Schedule"
        in capsys.readouterr().out
    )


def test_an_unknown_connection_is_named_before_the_step_runs(run_dag, runner, capsys):
    run = run_dag(INGEST.format(schedule=MONTHLY, more=""), logical_date=datetime(2013, 4, 1, 4, tzinfo=UTC))
    assert run.tasks == {"ingest": "failed"}
    assert "no connection 'shop': airflow connections add shop" in capsys.readouterr().out


def test_every_fault_of_a_spec_is_told_without_its_values(run_dag, runner, capsys):
    source = """
    from airflow.sdk import DAG
    from airflow_mlops_provider.operators.train import TrainOperator

    with DAG("wrong", schedule=None) as dag:
        TrainOperator(task_id="train", model="m", dataset={"entities": "t", "goal": "y"}, holdout="s3cret")
    """
    run = run_dag(source)
    assert run.tasks == {"train": "failed"}
    said = capsys.readouterr().out
    assert (
        "train: dataset.target: Field required; dataset.goal: Extra inputs are not permitted; holdout.stretch:" in said
    )
    assert "AirflowFailException" in said


def test_messages_go_to_the_task_log(run_dag, runner, dags, capsys):
    runner.answers["maintain"] = MaintainResult()
    runner.messages = (Message("scanned", progress=0.5), Message("small table", level="warning"))
    source = """
    from datetime import timedelta
    from airflow.sdk import DAG
    from airflow_mlops_provider.operators.maintain import LakeMaintainOperator

    with DAG("upkeep", schedule=None) as dag:
        LakeMaintainOperator(task_id="maintain", keep=timedelta(days=2), lake="elsewhere")
    """
    assert run_dag(source).state == "success"
    assert runner.requests[0].spec == {
        "pipeline": "upkeep",
        "lake": f"{dags}/elsewhere",
        "bundle": str(dags),
        "keep": "P2D",
    }
    assert "small table" in capsys.readouterr().out

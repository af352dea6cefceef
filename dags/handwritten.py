"""The parts without the factory: where the flights are no longer what the champion has seen, a new one is trained.

Nothing starts it but a person, and its model is its own: the pipeline of flights.yaml goes on beside it.
"""

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.operators.evaluate import EvaluateOperator
from airflow_mlops_provider.operators.promote import MlflowPromoteOperator
from airflow_mlops_provider.operators.train import TrainOperator
from airflow_mlops_provider.sensors.drift import DriftSensor

MODEL = "flight_delay_by_hand"
TABLE = "flight_labels"
FEATURES = ["dow", "sched_min", "holiday_distance", "sched_flights", "distance", "carrier", "origin"]
DATASET = {
    "entities": TABLE,
    "target": "is_late",
    "event_timestamp": "scheduled_at",
    "unique_key": ["flight_id"],
    "columns": FEATURES,
}


@task
def seen_by_champion():
    """Return the table at the version that the champion was trained on; without a champion, at its first rows."""
    mlflow = MlflowHook()
    champion = mlflow.alias_version(MODEL)
    if champion is None:
        return {"name": TABLE, "version": 1}
    client = mlflow.get_conn()
    run = client.get_run(client.get_model_version(MODEL, champion).run_id)
    return {"name": TABLE, "version": int(run.data.tags[f"mlops.version.{TABLE}"])}


with DAG(
    "handwritten",
    schedule=None,
    is_paused_upon_creation=True,
    max_active_runs=1,
    default_args={"owner": "ml-platform"},
    tags=["demo"],
    doc_md=__doc__,
):
    drift = DriftSensor(
        task_id="drift",
        current={"name": TABLE},
        reference=seen_by_champion(),
        columns=FEATURES,
        event_timestamp="scheduled_at",
        timezone="America/New_York",
        report=False,
        poke_interval=60,
        timeout=300,
        soft_fail=True,
    )
    train = TrainOperator(
        task_id="train",
        model=MODEL,
        dataset=DATASET,
        estimator="sklearn.ensemble.HistGradientBoostingClassifier",
        holdout=timedelta(days=10),
        refit=True,
        timezone="America/New_York",
    )
    evaluate = EvaluateOperator(
        task_id="evaluate",
        model=MODEL,
        challenger=train.output,
        dataset=DATASET,
        gates={"log_loss": {"vs_champion": "better", "alpha": 0.1}},
        timezone="America/New_York",
    )
    promote = MlflowPromoteOperator(task_id="promote", model=MODEL, trained=train.output, verdict=evaluate.output)
    drift >> train >> evaluate >> promote

"""Sensors on real tables: what they wait for, and that they look before they defer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import BatchPerformance
from airflow_mlops_provider.sensors.dataset import DatasetVersionSensor
from airflow_mlops_provider.sensors.features import FeatureFreshnessSensor
from airflow_mlops_provider.sensors.labels import LabelsSensor
from airflow_mlops_provider.sensors.model import ModelVersionSensor
from airflow_mlops_provider.sensors.performance import PerformanceSensor
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.lake import Lake

START, END = datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 5, 1, tzinfo=UTC)
APRIL = Batch(id="2013-04-01", start=START, end=END)
INTERVAL = {"data_interval_start": START, "data_interval_end": END}


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


def test_a_version_of_a_table(lake):
    sensor = DatasetVersionSensor(task_id="s", dataset="visits", version=2, lake=lake.root)
    assert not sensor.poke({})
    for n in range(2):
        lake.write_once("visits", pa.table({"a": [n]}), app=str(n))
    found = sensor.poke({})
    assert found
    assert found.xcom_value == {"kind": "delta", "name": "visits", "version": 2}


def test_a_deferring_sensor_looks_first_and_then_waits_for_a_change(lake):
    sensor = DatasetVersionSensor(task_id="s", dataset="visits", version=2, lake=lake.root, deferrable=True)
    lake.write_once("visits", pa.table({"a": [1]}), app="1")
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    assert deferred.value.trigger.after == 1
    assert deferred.value.trigger.table == "visits"
    lake.write_once("visits", pa.table({"a": [2]}), app="2")
    again = getattr(sensor, deferred.value.method_name)
    assert again({}, event={"version": 2}, **deferred.value.kwargs)["version"] == 2
    assert sensor.execute({})["version"] == 2


def test_waiting_in_the_triggerer_ends_at_the_timeout(lake):
    sensor = DatasetVersionSensor(task_id="s", dataset="visits", lake=lake.root, deferrable=True, timeout=60)
    long_ago = (datetime.now(UTC) - timedelta(seconds=61)).isoformat()
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete({}, event={}, started=long_ago)


def test_labels_of_the_interval(lake):
    sensor = LabelsSensor(task_id="s", labels="outcomes", lake=lake.root, timezone="UTC")
    ledger = BatchLedger(lake, "outcomes")
    assert not sensor.poke(INTERVAL)
    ledger.refuse(APRIL, rows=3, run_key="r")
    assert not sensor.poke(INTERVAL)
    ledger.accept(APRIL, version=7, rows=3, run_key="r")
    assert sensor.poke(INTERVAL).xcom_value == {"kind": "delta", "name": "outcomes", "version": 7}
    with pytest.raises(AirflowFailException, match="this DAG run has no data interval; give batch="):
        sensor.poke({})


@pytest.mark.parametrize(
    ("condition", "fires"),
    [
        ({"abs_above": 0.04}, True),
        ({"above": 0.04}, False),
        ({"below": -0.07}, True),
        ({"abs_above": 0.04, "alpha": 0.01}, True),
        ({"abs_above": 0.06, "alpha": 0.01}, False),
        ({}, False),
    ],
)
def test_performance_of_the_newest_batch(lake, condition, fires):
    sensor = PerformanceSensor(task_id="s", pipeline="p", metric="gap", condition=condition, lake=lake.root)
    assert not sensor.poke({})
    for month, value in ((4, 0.9), (5, -0.077)):
        name, end = f"2013-0{month}-01", datetime(2013, month + 1, 1, tzinfo=UTC)
        gap = MetricEstimate(value=value, rows=9, se=0.01, df=30, blocks=31)
        record = BatchPerformance(batch=name, version="1", rows=9, labelled=9, metrics={"gap": gap})
        Monitoring(lake, "p").add("performance", name, end, record, model="m", version="1", run_key="r")
    found = sensor.poke({})
    assert bool(found) is fires
    assert found.xcom_value["batch"] == "2013-05-01"


@pytest.mark.parametrize(("max_age", "fresh"), [(timedelta(hours=2), True), (timedelta(minutes=59), False)])
def test_age_of_features_is_taken_at_the_end_of_the_interval(lake, max_age, fresh):
    sensor = FeatureFreshnessSensor(
        task_id="s", dataset="weather", timestamp="available_at", max_age=max_age, lake=lake.root
    )
    assert not sensor.poke(INTERVAL)
    rows = pa.table({"available_at": [START, END - timedelta(hours=1)]}).cast(
        pa.schema([("available_at", pa.timestamp("us", tz="UTC"))])
    )
    lake.write_once("weather", rows, app="1")
    assert bool(sensor.poke(INTERVAL)) is fresh


def test_an_alias_of_the_registry(connect, tmp_path):
    from airflow_mlops_provider.hooks.mlflow import MlflowHook

    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{tmp_path}/m.db")
    sensor = ModelVersionSensor(task_id="s", model="delay", other_than="1")
    assert not sensor.poke({})
    client = MlflowHook().get_conn()
    client.create_registered_model("delay")
    for version in ("1", "2"):
        client.create_model_version("delay", source=f"{tmp_path}/model")
        client.set_registered_model_alias("delay", "champion", version)
        assert bool(sensor.poke({})) is (version == "2")

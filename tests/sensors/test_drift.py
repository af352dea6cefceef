"""The drift sensor in a DAG that Airflow runs, on real tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops_provider.steps.lake import Lake

SOURCE = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.maintain import LakeMaintainOperator
from airflow_mlops_provider.sensors.drift import DriftSensor

with DAG("watch", schedule=None) as dag:
    DriftSensor(
        task_id="drift", current={{"name": "now"}}, reference={{"name": "then"}}, event_timestamp="at", lake={lake!r},
        poke_interval=1, timeout=2, soft_fail=True, report=False, {more}
    ) >> LakeMaintainOperator(task_id="retrain", lake={lake!r})
"""


@pytest.fixture
def tables(tmp_path):
    """Return a function that writes sixty days of what is normal and ten of what is now, moved by `shift`."""

    def write(shift: float) -> str:
        generator = np.random.default_rng(7)
        lake = Lake(str(tmp_path))
        for name, days, moved in (("then", 60, 0.0), ("now", 10, shift)):
            at = np.datetime64("2013-01-01T12:00:00", "us") + np.repeat(np.arange(days), 100) * np.timedelta64(1, "D")
            price = generator.normal(moved, 1, days * 100)
            table = pa.table(
                {"at": pa.array(at, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")), "price": price}
            )
            lake.write_once(name, table, app=name)
        return lake.root

    return write


def test_drift_starts_what_waits_for_it(run_dag, tables):
    run = run_dag(SOURCE.format(lake=tables(2.0), more=""))
    assert run.tasks == {"drift": "success", "retrain": "success"}
    assert run.pushed["drift", "return_value"]["batches"][0]["drifted"] == ["price"]


def test_no_drift_starts_nothing(run_dag, tables):
    run = run_dag(SOURCE.format(lake=tables(0.0), more=""))
    assert run.tasks == {"drift": "skipped", "retrain": "skipped"}


def test_the_threshold_is_on_the_largest_effect(run_dag, tables):
    run = run_dag(SOURCE.format(lake=tables(2.0), more="threshold=1e6"))
    assert run.tasks == {"drift": "skipped", "retrain": "skipped"}

"""Predictions are measured against the outcomes of their own rows, once a batch, day by day."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from airflow_mlops_provider.contracts.monitor import PerformanceSpec
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.performance import performance
from tests.steps.flow import batch, rows

SIGMOID = {"champion": 2.0, "shadow": 0.0}


class World:
    """Predictions and outcomes of `flow`'s months, by a model of the rows' own slope and a shadow without one."""

    def __init__(self, lake) -> None:
        self.lake = lake

    def predict(self, month: int, *roles: str) -> None:
        table = rows(month)
        parts = []
        for role in roles or ("champion",):
            scores = 1 / (1 + np.exp(1 - SIGMOID[role] * table["size"].to_numpy()))
            part = table.select(["id", "at"]).append_column("prediction", pa.array(scores))
            part = part.append_column("role", pa.array([role] * table.num_rows))
            parts.append(part.append_column("_batch", pa.array([batch(month).id] * table.num_rows)))
        version, _ = self.lake.write_once("predictions/m", pa.concat_tables(parts), app=f"m/{month}")
        detail = {"version": "2", "shadow": "1" if "shadow" in roles else None}
        ledger = BatchLedger(self.lake, "predictions/m")
        ledger.accept(batch(month), version=version, rows=table.num_rows, run_key="r", detail=detail)

    def label(self, month: int, table: pa.Table | None = None) -> pa.Table:
        table = rows(month) if table is None else table
        version, _ = self.lake.write_once("labels", table, app=f"labels/{month}")
        BatchLedger(self.lake, "labels").accept(batch(month), version=version, rows=table.num_rows, run_key="r")
        return table

    def measure(self, **more):
        spec = {"model": "m", "labels": "labels", "target": "late", "unique_key": ("id",), "event_timestamp": "at"}
        spec |= {"pipeline": "p", "lake": self.lake.root, "timezone": "America/New_York"}
        return performance(PerformanceSpec(**{**spec, **more}), StepContext("run", emit=lambda _: None))


@pytest.fixture
def world(lake):
    return World(lake)


def test_the_metrics_are_scikit_learns_on_the_joined_rows(world):
    world.predict(1)
    table = world.label(1)
    measured = world.measure().batches[0]
    y, p = table["late"].to_numpy(zero_copy_only=False), 1 / (1 + np.exp(1 - 2 * table["size"].to_numpy()))
    assert measured.metrics["roc_auc"].value == pytest.approx(roc_auc_score(y, p))
    assert measured.metrics["log_loss"].value == pytest.approx(log_loss(y, p))
    assert (measured.version, measured.rows, measured.labelled) == ("2", table.num_rows, table.num_rows)
    assert {name: m.blocks for name, m in measured.metrics.items()}["log_loss"] == 31
    assert (measured.shadow, measured.shadow_difference) == ({}, None)


def test_a_batch_is_measured_once_and_only_with_its_labels(world):
    world.predict(1)
    world.predict(2)
    assert world.measure().batches == ()
    world.label(2)
    assert [b.batch for b in world.measure().batches] == ["2013-02-01"]
    world.label(1)
    assert [b.batch for b in world.measure().batches] == ["2013-01-01"]
    assert world.measure().batches == ()
    assert list(Monitoring(world.lake, "p").lines("performance")) == ["2013-01-01", "2013-02-01"]


def test_a_refused_batch_of_labels_is_not_measured(world):
    world.predict(1)
    BatchLedger(world.lake, "labels").refuse(batch(1), rows=1, run_key="r")
    assert world.measure().batches == ()


def test_labels_without_predictions_wait_for_a_champion(world):
    world.label(1)
    assert world.measure().no_champion == ("2013-01-01",)


def test_rows_without_an_outcome_do_not_count(world):
    world.predict(1)
    whole = rows(1)
    late = whole["late"].to_pylist()
    half = whole.slice(0, 800).set_column(4, "late", pa.array([None] * 300 + late[300:800]))
    world.label(1, half)
    measured = world.measure().batches[0]
    assert (measured.rows, measured.labelled) == (whole.num_rows, 500)


def test_a_batch_without_any_outcome_has_no_metrics(world):
    world.predict(1)
    none = rows(1)
    world.label(1, none.set_column(4, "late", pa.array([None] * none.num_rows, pa.bool_())))
    measured = world.measure().batches[0]
    assert (measured.labelled, measured.metrics) == (0, {})


def test_the_shadow_is_measured_on_the_same_rows(world):
    world.predict(1, "champion", "shadow")
    world.label(1)
    measured = world.measure().batches[0]
    assert measured.shadow_version == "1"
    assert measured.shadow["log_loss"].value > measured.metrics["log_loss"].value
    assert measured.shadow["log_loss"].rows == measured.metrics["log_loss"].rows
    difference = measured.metrics["log_loss"].value - measured.shadow["log_loss"].value
    assert measured.shadow_difference.value == pytest.approx(difference, rel=0.05)
    assert measured.shadow_difference.blocks == 31


def test_a_day_is_a_local_one(world):
    late_evening = pa.array([batch(1).start + timedelta(days=n, hours=23) for n in range(10) for _ in range(8)])
    table = rows(1).slice(0, 80).set_column(1, "at", late_evening.cast(pa.timestamp("us", "UTC")))
    table = table.set_column(4, "late", pa.array([True, False] * 40))
    world.predict(1)
    world.label(1, table)
    predictions = world.lake.read("predictions/m").num_rows
    measured = world.measure().batches[0]
    # Days are those of the predictions' own event times.
    assert (predictions, measured.labelled, measured.metrics["log_loss"].blocks) == (31 * 40, 80, 2)

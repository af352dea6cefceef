"""Predictions are measured against the outcomes of their own rows, once a batch, day by day."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from airflow_mlops_provider.contracts.evaluate import EvaluateResult, MetricEstimate
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


def test_outcomes_that_come_late_revise_what_was_measured_and_its_history_stays(world):
    world.predict(1)
    world.predict(2)
    january, february = rows(1), rows(2)
    world.label(1, january.slice(0, 900))
    first = world.measure().batches[0]
    assert (first.labelled, first.coverage, first.lag) == (900, 900 / january.num_rows, timedelta(0))

    world.label(
        2, pa.concat_tables([february, january.slice(900).set_column(5, "_batch", february["_batch"].slice(0, 340))])
    )
    result = world.measure()
    (revised,) = result.revised
    assert [b.batch for b in result.batches] == ["2013-02-01"]
    assert (revised.batch, revised.labelled, revised.revision, revised.coverage) == ("2013-01-01", 1240, 1, 1.0)
    assert revised.lag == timedelta(days=28)
    assert revised.metrics["log_loss"].rows == 1240
    kept = [line["record"]["labelled"] for line in Monitoring(world.lake, "p").history("performance")]
    assert kept == [900, 1240, february.num_rows]
    assert Monitoring(world.lake, "p").lines("performance")["2013-01-01"]["record"]["revision"] == 1
    again = world.measure()
    assert (again.batches, again.revised) == ((), ())


def test_a_row_that_is_labelled_twice_counts_once_by_its_newest_outcome(world):
    world.predict(1)
    table = rows(1)
    world.label(1, table)
    first = world.measure().batches[0]
    other = table.slice(0, 200)
    other = other.set_column(4, "late", pa.array([not late for late in other["late"].to_pylist()]))
    world.label(2, other.set_column(5, "_batch", pa.array([batch(2).id] * 200)))
    (revised,) = world.measure().revised
    assert revised.labelled == first.labelled == table.num_rows
    assert revised.metrics["log_loss"].value > first.metrics["log_loss"].value


def test_killed_between_a_revision_and_the_next_the_retry_makes_the_rest(world, monkeypatch):
    for month in (1, 2, 3):
        world.predict(month)
    for month in (1, 2):
        world.label(month, rows(month).slice(0, 500))
    world.measure()
    late = [rows(month).slice(500).drop_columns(["_batch"]) for month in (1, 2)]
    march = pa.concat_tables([rows(3).drop_columns(["_batch"]), *late])
    world.label(3, march.append_column("_batch", pa.array([batch(3).id] * march.num_rows)))
    add, calls = Monitoring.add, []

    def once(self, *args, **kwargs):
        if calls:
            raise KeyboardInterrupt
        calls.append(args)
        return add(self, *args, **kwargs)

    monkeypatch.setattr(Monitoring, "add", once)
    with pytest.raises(KeyboardInterrupt):
        world.measure()
    monkeypatch.undo()
    result = world.measure()
    assert [b.batch for b in result.revised] == ["2013-02-01"]
    assert [b.batch for b in result.batches] == ["2013-03-01"]


def test_a_batch_without_labels_is_estimated_once_and_marked(world):
    world.predict(1)
    (estimated,) = world.measure().estimated
    p = 1 / (1 + np.exp(1 - 2 * rows(1)["size"].to_numpy()))
    assert (estimated.estimated, estimated.labelled) == (True, 0)
    assert estimated.metrics["log_loss"].value == pytest.approx(-np.mean(p * np.log(p) + (1 - p) * np.log(1 - p)))
    assert world.measure().estimated == ()
    assert Monitoring(world.lake, "p").lines("performance") == {}
    world.label(1)
    measured = world.measure()
    assert (len(measured.batches), measured.estimated) == (1, ())
    # The rows are drawn from the model's own probabilities: what it expected is what came.
    assert measured.batches[0].metrics["roc_auc"].value == pytest.approx(estimated.metrics["roc_auc"].value, abs=0.03)


def test_slices_are_measured_where_they_have_enough_rows(world):
    world.predict(1)
    table = world.label(1)
    red = np.array(table["colour"].to_pylist()) == "red"
    measured = world.measure(slices=("colour",), min_slice_rows=int(min(red.sum(), (~red).sum())) + 1).batches[0]
    (larger,) = measured.slices
    assert (larger.column, larger.rows) == ("colour", int(max(red.sum(), (~red).sum())))
    assert larger.metrics["log_loss"].se > 0


def test_a_loss_is_measured_against_the_holdout_of_the_judged_model(world):
    world.predict(1)
    world.label(1)
    judged = {"log_loss": MetricEstimate(value=0.4, se=0.01, df=9, rows=100, blocks=10)}
    verdict = EvaluateResult(verdict="accepted", reason="", metrics=judged)
    monitoring = Monitoring(world.lake, "p")
    monitoring.add("training", "2012-12-01", batch(1).start, verdict, model="m", version="2", run_key="t")
    metrics = world.measure(metrics=("log_loss", "log_loss_ratio")).batches[0].metrics
    assert metrics["log_loss_ratio"].value == pytest.approx(metrics["log_loss"].value / 0.4)
    assert metrics["log_loss_ratio"].se > metrics["log_loss"].se / 0.4


def test_a_model_that_was_never_judged_has_no_such_ratio(world):
    world.predict(1)
    world.label(1)
    assert {*world.measure(metrics=("log_loss", "log_loss_ratio")).batches[0].metrics} == {"log_loss"}


def test_outcomes_that_are_written_and_not_yet_accepted_still_revise_later(world):
    for month in (1, 2):
        world.predict(month)
    world.label(1, rows(1).slice(0, 900))
    world.measure()
    late = rows(1).slice(900)
    late = late.set_column(5, "_batch", pa.array([batch(3).id] * late.num_rows))
    version, _ = world.lake.write_once("labels", late, app="labels/late")
    world.label(2)
    world.measure()
    BatchLedger(world.lake, "labels").accept(batch(3), version=version, rows=late.num_rows, run_key="r")
    world.measure()
    newest = Monitoring(world.lake, "p").lines("performance")["2013-01-01"]["record"]
    assert newest["labelled"] == rows(1).num_rows


@pytest.mark.filterwarnings("ignore:Only one class is present")  # scikit-learn's NaN comes with it
def test_a_slice_without_both_outcomes_stops_nothing(world):
    world.predict(1)
    table = rows(1)
    late = pc.and_(table["late"], pc.equal(table["colour"], "red"))
    world.label(1, table.set_column(4, "late", late))
    metrics = ("log_loss", "roc_auc", "roc_auc_ovr", "neg_log_loss", "calibration_slope")
    measured = world.measure(metrics=metrics, slices=("colour",)).batches[0]
    found = {s.value: {*s.metrics} for s in measured.slices}
    assert found["red"] == {*metrics}
    assert "roc_auc" not in found["green"]
    assert "roc_auc_ovr" not in found["green"]
    assert "log_loss" in found["green"]
    world.predict(2)
    world.label(2)
    assert [b.batch for b in world.measure(metrics=metrics, slices=("colour",)).batches] == ["2013-02-01"]

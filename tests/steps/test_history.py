"""The monitoring table and the decision ledger say each thing once, in data time."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from tests.steps.flow import batch

RECORD = DatasetRef(name="anything", version=1)


def add(monitoring, kind, month, run_key="r", version="1"):
    when = batch(month)
    return monitoring.add(kind, when.id, when.end, RECORD, model="m", version=version, run_key=run_key)


def test_a_batch_has_one_line_of_each_kind(lake):
    monitoring = Monitoring(lake, "p")
    assert monitoring.lines("drift") == {}
    assert [add(monitoring, "drift", month) for month in (2, 1, 2)] == [True, True, False]
    assert add(monitoring, "performance", 1)
    assert list(monitoring.lines("drift")) == ["2013-01-01", "2013-02-01"]
    line = monitoring.lines("performance")["2013-01-01"]
    assert line["record"] == {"kind": "delta", "name": "anything", "version": 1, "conn_id": None}
    assert (line["end"], line["end"].tzinfo) == (batch(1).end, UTC)


def test_a_batch_may_be_trained_on_again_and_the_newest_line_counts(lake):
    monitoring = Monitoring(lake, "p")
    assert add(monitoring, "training", 1, "first", version=None)
    assert not add(monitoring, "training", 1, "first")
    assert add(monitoring, "training", 1, "second", version="2")
    assert monitoring.lines("training")["2013-01-01"]["version"] == "2"


def test_a_line_says_whose_it_is_and_when_it_was_written(lake):
    monitoring, before = Monitoring(lake, "p"), datetime.now(UTC)
    add(monitoring, "drift", 1, "run 7", version="3")
    line = monitoring.lines("drift")["2013-01-01"]
    assert (line["model"], line["version"], line["run_key"]) == ("m", "3", "run 7")
    assert before - timedelta(seconds=1) <= line["recorded_at"] <= datetime.now(UTC)


def test_a_rollback_is_written_once_a_run(lake):
    monitoring = Monitoring(lake, "p")
    assert [add(monitoring, "rollback", 1, run) for run in ("a", "a", "b")] == [True, False, True]


def test_a_decision_without_a_champion_leaves_room_for_one(lake):
    ledger, at = DecisionLedger(lake, "p"), batch(1).end.astimezone(UTC)
    first = Decision(id="p__1", batch="1", at=at, decision="wait", reason="no champion")
    second = first.model_copy(update={"id": "p__2", "batch": "2", "at": batch(2).end.astimezone(UTC), "champion": "1"})
    assert [ledger.add(first), ledger.add(second), ledger.add(first)] == [True, True, False]
    assert ledger.decisions() == [first, second]


def test_pipelines_do_not_see_each_other(lake):
    add(Monitoring(lake, "p"), "drift", 1)
    assert Monitoring(lake, "q").lines("drift") == {}


def decision(month, verdict="none"):
    when = batch(month)
    return Decision(id=f"p__{when.id}", batch=when.id, at=when.end.astimezone(UTC), decision=verdict, reason="why")


def test_a_batch_is_decided_on_once(lake):
    ledger = DecisionLedger(lake, "p")
    assert ledger.decisions() == []
    assert [ledger.add(decision(month)) for month in (2, 1)] == [True, True]
    assert not ledger.add(decision(1, "retrain"))
    assert ledger.decisions() == [decision(1), decision(2)]


def test_a_ledger_of_an_earlier_release_goes_on(lake):
    ledger = DecisionLedger(lake, "p")
    old = {
        key: value
        for key, value in decision(1).model_dump().items()
        if key in ("id", "batch", "at", "decision", "reason")
    }
    lake.write_once(ledger.table, pa.Table.from_pylist([old | {"champion": "1"}]), app=decision(1).batch)
    later = decision(2).model_copy(update={"running": "p__1", "alert": "so many", "recorded_at": datetime.now(UTC)})
    assert ledger.add(later)
    assert not ledger.add(decision(1))
    assert ledger.decisions() == [decision(1).model_copy(update={"champion": "1"}), later]

"""The monitoring table and the decision ledger say each thing once, in data time."""

from datetime import UTC

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

"""The ledger from which every consumer computes its work."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.steps.batches import BatchLedger

ZONE = ZoneInfo("America/New_York")


def batch(day):
    start = datetime(2013, 1, day, tzinfo=ZONE)
    return Batch(id=start.date().isoformat(), start=start, end=start + timedelta(days=1), timezone=ZONE.key)


def test_batches_come_in_data_time_whenever_they_arrived(lake):
    ledger = BatchLedger(lake, "flights")
    for day in (3, 1, 2):
        ledger.accept(batch(day), version=day, rows=10, run_key="r")
    assert [row.batch.id for row in ledger.accepted()] == ["2013-01-01", "2013-01-02", "2013-01-03"]
    assert ledger.accepted()[0].batch == batch(1)


def test_a_line_comes_back_as_it_was_recorded(lake):
    before = datetime.now(UTC)
    BatchLedger(lake, "flights").accept(batch(1), version=7, rows=10, run_key="r/1", detail={"b": 1, "a": [2]})
    (row,) = BatchLedger(lake, "flights").rows()
    assert (row.batch, row.status, row.version, row.rows, row.run_key) == (batch(1), "accepted", 7, 10, "r/1")
    # In the batch's own zone, so that its days are the pipeline's days.
    assert (row.batch.start.tzinfo, row.batch.end.tzinfo) == (ZONE, ZONE)
    assert row.detail == {"b": 1, "a": [2]}
    assert before - timedelta(seconds=1) <= row.recorded_at <= datetime.now(UTC)
    BatchLedger(lake, "flights").refuse(batch(2), rows=3, run_key="r/2")
    assert [(r.status, r.version, r.rows, r.run_key) for r in BatchLedger(lake, "flights").rows()[1:]] == [
        ("refused", None, 3, "r/2")
    ]


def test_a_batch_is_accepted_once(lake):
    ledger = BatchLedger(lake, "flights")
    assert ledger.accept(batch(1), version=1, rows=10, run_key="r")
    assert not ledger.accept(batch(1), version=2, rows=10, run_key="retry")
    assert [row.version for row in ledger.rows()] == [1]


def test_a_refused_batch_may_be_accepted_later_and_stays_so(lake):
    ledger = BatchLedger(lake, "flights")
    ledger.refuse(batch(1), rows=10, run_key="first", detail={"why": "celsius"})
    assert ledger.accepted() == []
    assert ledger.rows()[0].detail == {"why": "celsius"}
    ledger.accept(batch(1), version=4, rows=10, run_key="second")
    ledger.refuse(batch(1), rows=10, run_key="third")
    assert [row.status for row in ledger.rows()] == ["accepted"]


def test_pending_is_what_the_consumer_has_no_line_of(lake):
    flights, predictions = BatchLedger(lake, "flights"), BatchLedger(lake, "predictions/delay")
    for day in (1, 2, 3):
        flights.accept(batch(day), version=day, rows=10, run_key="r")
    flights.refuse(batch(4), rows=10, run_key="r")
    predictions.accept(batch(2), version=1, rows=10, run_key="s")
    assert [row.batch.id for row in flights.pending(predictions)] == ["2013-01-01", "2013-01-03"]

"""The batch that a data interval is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.operators.batch import batch_from_interval, batch_of

NEW_YORK = "America/New_York"


def test_a_month_of_local_days_is_named_by_its_first_day():
    start, end = datetime(2013, 3, 1, 5, tzinfo=UTC), datetime(2013, 4, 1, 4, tzinfo=UTC)
    assert batch_from_interval(start, end, NEW_YORK) == {
        "id": "2013-03-01",
        "start": "2013-03-01T00:00:00-05:00",
        "end": "2013-04-01T00:00:00-04:00",
        "timezone": NEW_YORK,
    }


def test_both_hours_of_a_clock_change_have_a_name_of_their_own():
    one = datetime(2013, 11, 3, 5, tzinfo=UTC)  # 01:00 in summer time, and an hour later once more
    names = [batch_from_interval(t, t + timedelta(hours=1), NEW_YORK)["id"] for t in (one, one + timedelta(hours=1))]
    assert names == ["2013-11-03T01:00-04:00", "2013-11-03T01:00-05:00"]


def test_an_hour_that_begins_a_day_is_not_named_as_the_day():
    start = datetime(2013, 6, 1, 4, tzinfo=UTC)
    assert batch_from_interval(start, start + timedelta(hours=1), NEW_YORK)["id"] == "2013-06-01T00:00-04:00"


@given(
    start=st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2037, 1, 1)),  # noqa: DTZ001
    minutes=st.integers(1, 100_000),
    zone=st.sampled_from(["UTC", NEW_YORK, "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_no_moment_is_moved(start, minutes, zone):
    start = start.replace(tzinfo=UTC, second=0, microsecond=0)
    batch = Batch.model_validate(batch_from_interval(start, start + timedelta(minutes=minutes), zone))
    assert batch.start == start
    assert batch.end - batch.start == timedelta(minutes=minutes)
    assert ZoneInfo(batch.timezone)


def test_what_is_given_comes_first_and_an_empty_interval_is_no_batch():
    moment = datetime(2013, 4, 1, tzinfo=UTC)
    empty = {"data_interval_start": moment, "data_interval_end": moment}
    assert batch_of({"id": "a"}, empty, "UTC") == {"id": "a"}
    assert batch_of(None, empty, "UTC") is None
    assert batch_of(None, {}, "UTC") is None


def test_who_woke_a_run_says_its_batch():
    def event(*days):
        interval = [datetime(2013, 4, day, tzinfo=UTC) for day in days] or [None, None]
        return SimpleNamespace(
            source_dag_run=SimpleNamespace(data_interval_start=interval[0], data_interval_end=interval[1])
        )

    by_hand = SimpleNamespace(source_dag_run=None)
    woken = {"data_interval_start": None, "triggering_asset_events": {"a": [event(3, 4), by_hand], "b": [event(1, 2)]}}
    assert batch_of(None, woken, "UTC") == batch_from_interval(
        datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 4, 4, tzinfo=UTC), "UTC"
    )
    for useless in ([by_hand], [event()], [event(5, 5)]):
        assert batch_of(None, {"triggering_asset_events": {"a": useless}}, "UTC") is None

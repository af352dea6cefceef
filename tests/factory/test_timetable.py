"""Intervals of batches: months of local days, clock changes, start and end."""

from __future__ import annotations

from itertools import pairwise

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.factory.timetable import BatchTimetable

NEW_YORK = "America/New_York"


def local(*day: int, zone: str = NEW_YORK) -> pendulum.DateTime:
    return pendulum.datetime(*day, tz=zone)


def year(cron: str = "@monthly") -> BatchTimetable:
    return BatchTimetable(cron, NEW_YORK, local(2013, 1, 1), local(2014, 1, 1))


def every_run(timetable: BatchTimetable, *, catchup: bool = True, earliest=None) -> list:
    from airflow.timetables.base import TimeRestriction

    found, last = [], None
    restriction = TimeRestriction(earliest, None, catchup)
    while info := timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction):
        found.append(info)
        last = info.data_interval
    return found


def test_a_year_has_twelve_months_and_no_thirteenth():
    runs = every_run(year())
    starts = [run.data_interval.start.in_timezone(NEW_YORK) for run in runs]
    assert starts == [local(2013, month, 1) for month in range(1, 13)]
    assert all(run.run_after == run.data_interval.end for run in runs)
    assert all(one.data_interval.end == two.data_interval.start for one, two in pairwise(runs))


def test_an_interval_that_begins_before_start_or_ends_after_end_is_no_batch():
    timetable = BatchTimetable("@weekly", NEW_YORK, local(2013, 1, 1), local(2013, 1, 31))
    starts = [run.data_interval.start.in_timezone(NEW_YORK).day for run in every_run(timetable)]
    assert starts == [6, 13, 20]  # Sundays; the week of the 27th ends in February


def test_nothing_is_scheduled_without_catchup_once_the_data_is_over():
    assert every_run(year(), catchup=False) == []


def test_backfill_asks_for_a_range_and_gets_its_months():
    from airflow.timetables.base import TimeRestriction

    restriction = TimeRestriction(local(2013, 3, 1), local(2013, 5, 1), True)
    info = year().next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert info.data_interval.start == local(2013, 3, 1)
    assert info.logical_date == local(2013, 3, 1)


@pytest.mark.parametrize(
    ("cron", "when", "start", "end"),
    [
        ("@monthly", local(2013, 3, 1), local(2013, 3, 1), local(2013, 4, 1)),
        ("@monthly", local(2013, 3, 31, 23, 59), local(2013, 3, 1), local(2013, 4, 1)),
        ("@monthly", pendulum.datetime(2013, 3, 1, 1), local(2013, 2, 1), local(2013, 3, 1)),
        ("@daily", local(2013, 3, 10, 12), local(2013, 3, 10), local(2013, 3, 11)),
        ("@daily", local(2013, 11, 3, 12), local(2013, 11, 3), local(2013, 11, 4)),
        ("@hourly", local(2013, 6, 1, 5, 30), local(2013, 6, 1, 5), local(2013, 6, 1, 6)),
        ("0 0 * * 1", local(2013, 6, 5), local(2013, 6, 3), local(2013, 6, 10)),
    ],
)
def test_a_run_by_hand_works_on_the_interval_that_holds_its_date(cron, when, start, end):
    interval = year(cron).infer_manual_data_interval(run_after=when)
    assert (interval.start, interval.end) == (start, end)


@pytest.mark.parametrize(("day", "hours"), [((2013, 3, 10), 23), ((2013, 11, 3), 25), ((2013, 6, 1), 24)])
def test_a_day_is_as_long_as_its_clock_says(day, hours):
    interval = year("@daily").infer_manual_data_interval(run_after=local(*day, 12))
    assert (interval.end - interval.start).total_seconds() == hours * 3600


@pytest.mark.parametrize("when", [local(2012, 12, 31), local(2014, 1, 1), local(2020, 5, 5)])
def test_a_run_by_hand_outside_the_data_is_refused_with_its_bounds(when):
    with pytest.raises(ValueError, match=r"outside this pipeline's data \[2013-01-01.*2014-01-01.*\): give a logical"):
        year().infer_manual_data_interval(run_after=when)


def test_the_trigger_button_works_on_the_last_interval_that_is_over():
    now = pendulum.now("UTC")
    interval = BatchTimetable("@daily", "UTC").infer_manual_data_interval(run_after=now)
    assert interval.end == now.start_of("day")
    assert interval.start == interval.end.subtract(days=1)


@given(
    cron=st.sampled_from(["@hourly", "@daily", "@weekly", "@monthly", "0 4 * * *"]),
    zone=st.sampled_from(["UTC", NEW_YORK, "Europe/London", "Australia/Lord_Howe"]),
    offset=st.integers(0, 20 * 365 * 24 * 60),
)
@settings(max_examples=200)
def test_an_interval_holds_its_date_and_its_start_gives_it_again(cron, zone, offset):
    timetable = BatchTimetable(cron, zone)
    when = pendulum.datetime(2000, 1, 1).add(minutes=offset)
    interval = timetable.infer_manual_data_interval(run_after=when)
    assert interval.start <= when < interval.end
    assert timetable.infer_manual_data_interval(run_after=interval.start) == interval


def test_it_is_the_same_after_serialization():
    for timetable in (year(), BatchTimetable("@daily", "UTC")):
        again = BatchTimetable.deserialize(timetable.serialize())
        assert again == timetable
        assert hash(again) == hash(timetable)
    assert year() != year("@daily")

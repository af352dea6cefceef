"""A time column is cut into about 4 to 12 batches that hold every row."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.schedule import _batches, dealt, timed


@pytest.fixture
def schedule(con, columns):
    def of(*moments, name="at"):
        columns("at,x\n" + "".join(f"{moment},1\n" for moment in moments))
        return timed(con, columns_of(con), name)

    return of


def days(first, last):
    """Return each day from the first to the last."""
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


@pytest.mark.parametrize(
    ("first", "last", "preset", "count"),
    [
        ("2025-03-01", "2025-03-04", "@daily", 4),
        ("2025-03-01", "2025-03-12", "@daily", 12),
        ("2025-03-02", "2025-03-17", "@daily", 16),
        ("2025-03-01", "2025-03-25", "@weekly", 5),
        ("2025-01-15", "2025-03-10", "@weekly", 9),
        ("2025-01-15", "2025-12-10", "@monthly", 12),
        ("2024-01-15", "2025-12-10", "@quarterly", 8),
        ("2015-01-15", "2025-12-10", "@yearly", 11),
    ],
)
def test_as_coarse_as_it_takes(schedule, first, last, preset, count):
    found = schedule(*days(first, last))
    assert (found.preset, len(found.batches), found.trained) == (preset, count, count - 1)
    assert found.start <= date.fromisoformat(first) < found.batches[0].end.date()
    assert found.batches[-1].start.date() <= date.fromisoformat(last) < found.end


def test_the_last_moment_of_a_batch_is_in_it(schedule):
    between = ["2025-03-02T00:00:00Z", "2025-03-03T00:00:00Z"]
    assert len(schedule("2025-03-01", "2025-03-02", "2025-03-04T23:59:59").batches) == 4
    assert len(schedule("2025-03-01T00:00:00Z", *between, "2025-03-05T00:00:00Z").batches) == 5
    assert len(schedule("2025-03-01T00:00:00Z", *between, "2025-03-05T01:00:00+02:00").batches) == 4


@pytest.mark.parametrize(
    ("moments", "name", "says"),
    [
        (["2025-03-01", "2025-03-03"], "at", "spans 3 days, 2025-03-01 to 2025-03-03: 4 are needed"),
        (["31.12.2025", "2025-03-03"], "at", "'at' is text, such as '31.12.2025': write it as 2026-01-31"),
        (["1", "2"], "at", "'at' is a number, such as '1'"),
        (["", ""], "at", "'at' has no value in any row"),
        (["2025-03-01"], "att", "no column 'att' for the time. Did you mean 'at'"),
        (["2025-03-01", "9999-12-31"], "at", "to 9999-12-31 00:00:00: is one of them a stand-in for 'none'"),
        (["2025-03-01T00:00:00Z", "9999-12-31T23:59:59-12:00"], "at", "is one of them a stand-in for 'none'"),
        (["0001-01-01", "2025-03-01"], "at", "runs from 0001-01-01 00:00:00 to 2025-03-01 00:00:00: is one"),
        (
            ["2013-05-05", *days("2024-01-01", "2024-09-01")],
            "at",
            "10 of 12 batches, @yearly by 'at', would be empty; rows up to 2013-05-05: 1, from 2024-01-01 on: 245",
        ),
        (
            [*days("2024-01-01", "2024-09-01"), "2042-05-05"],
            "at",
            "rows up to 2024-09-01: 245, from 2042-05-05 on: 1. Is one of these dates mistyped",
        ),
    ],
)
def test_what_does_not_say_when(schedule, moments, name, says):
    with pytest.raises(DataError, match=says):
        schedule(*moments, name=name)


def test_without_a_time_two_whole_days_that_are_over():
    found = dealt(date(2025, 3, 1))
    assert [batch.id for batch in found.batches] == ["2025-02-27", "2025-02-28"]
    assert (found.preset, found.by, found.end) == ("@daily", None, date(2025, 3, 1))


PRESETS = st.sampled_from(["@daily", "@weekly", "@monthly", "@quarterly", "@yearly"])
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  # in UTC


@given(PRESETS, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_batches_touch_and_hold_both_ends(preset, first, length):
    found = _batches(preset, first, first + length)
    assert all(one.end == other.start for one, other in pairwise(found))
    assert found[0].start <= first.replace(tzinfo=UTC) < found[0].end
    assert found[-1].start <= (first + length).replace(tzinfo=UTC) < found[-1].end

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.cron import batch_of, cron_fault


def test_a_month_is_cut_by_local_days() -> None:
    batch = batch_of("@monthly", "2013-03-01", "America/New_York")

    assert batch.id == "2013-03-01"
    assert batch.start.astimezone(UTC) == datetime(2013, 3, 1, 5, tzinfo=UTC)
    assert batch.end.astimezone(UTC) == datetime(2013, 4, 1, 4, tzinfo=UTC)  # summer time began


@pytest.mark.parametrize(
    ("schedule", "start", "end"),
    [
        ("@hourly", "2026-01-01T05:00", "2026-01-01T06:00"),
        ("@daily", "2026-02-28", "2026-03-01"),
        ("@weekly", "2026-11-15", "2026-11-22"),
        ("@quarterly", "2026-10-01", "2027-01-01"),
        ("@yearly", "2026-01-01", "2027-01-01"),
        ("30 6 * * 1-5", "2026-11-20T06:30", "2026-11-23T06:30"),
        ("0 0 29 2 *", "2024-02-29", "2028-02-29"),
        ("0 */6 * * *", "2026-01-01T18:00", "2026-01-02T00:00"),
    ],
)
def test_a_batch_ends_where_the_next_one_starts(schedule: str, start: str, end: str) -> None:
    batch = batch_of(schedule, start, "UTC")

    assert batch.end == datetime.fromisoformat(end).replace(tzinfo=UTC)


@given(
    st.tuples(*(st.sampled_from(v) for v in (["0", "*/20", "5,50"], ["0", "6", "*"], ["*", "1", "1-7"], ["*", "1,7"],
                                             ["*", "0", "1-5"]))).map(" ".join),
    st.datetimes(datetime.fromisoformat("2013-01-01"), datetime.fromisoformat("2030-01-01")),
)  # fmt: skip
def test_agrees_with_croniter(cron: str, moment: datetime) -> None:
    croniter = pytest.importorskip("croniter").croniter
    first = croniter(cron, moment).get_next(datetime)
    second = croniter(cron, first).get_next(datetime)

    batch = batch_of(cron, first.isoformat(), "UTC")

    assert (batch.start.replace(tzinfo=None), batch.end.replace(tzinfo=None)) == (first, second)


def test_a_day_inside_a_batch_is_not_its_start() -> None:
    said = r"^no batch of '@monthly' starts at 2013-04-15; the next one starts at 2013-05-01T00:00:00$"
    with pytest.raises(ConfigError, match=said):
        batch_of("@monthly", "2013-04-15", "UTC")


@pytest.mark.parametrize("text", ["April", "2013-13-01", ""])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no day: write it as 2013-04-01"):
        batch_of("@daily", text, "UTC")


def test_a_schedule_that_never_comes_is_refused() -> None:
    with pytest.raises(ConfigError, match="never comes"):
        batch_of("0 0 31 2 *", "2013-01-01", "UTC")


@pytest.mark.parametrize("text", ["0 0 31 2 *", "0 0 30-31 2 *", "0 0 31 4,6,9,11 *", "30 6 31 2 0-6"])
def test_a_day_that_no_month_has_never_comes(text: str) -> None:
    said = cron_fault(text)

    assert said is not None
    assert f"{text!r} never comes: no month that it names has a day 3" in said


@pytest.mark.parametrize("text", ["0 0 29 2 *", "0 0 31 2 1", "0 0 29-31 2 *", "0 0 31 * *", "0 0 31 2,3 *"])
def test_a_rare_day_comes(text: str) -> None:
    assert cron_fault(text) is None


@pytest.mark.parametrize("text", ["@sometimes", "* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"])
def test_faults_of_a_schedule(text: str) -> None:
    assert cron_fault(text) is not None


def test_the_operators_name_a_batch_alike() -> None:
    batches = pytest.importorskip("airflow_mlops_provider.operators.batch")
    for schedule, start in (("@monthly", "2013-11-01"), ("@hourly", "2013-06-01T05:00")):
        batch = batch_of(schedule, start, "America/New_York")

        assert batches.batch_from_interval(batch.start, batch.end, batch.timezone)["id"] == batch.id

"""How the rows become batches: by time, daily to yearly, or dealt into two where no column says when."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.factory.cron import batch_of
from airflow_mlops_provider.factory.errors import did_you_mean
from airflow_mlops_provider.scaffold.columns import TABLE, Column
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

__all__ = ["SHARE", "ZONE", "Schedule", "dealt", "timed"]

ZONE = "UTC"
# Of the rows: held out where no time tells the last ones, and dealt to the batch that plays what comes next.
SHARE = 0.2
_MOST, _FEWEST = 12, 4
# With so many of one preset the next has at least _FEWEST: they need not be counted to their end.
_COUNTED = 100
_YEARS = (1900, 2200)
_PRESETS = ("@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The batches in order, without a gap; `by` is the column that says when, None where rows are dealt."""

    preset: str
    batches: tuple[Batch, ...]
    by: str | None = None

    @property
    def start(self) -> date:
        """The first day of the first batch."""
        return self.batches[0].start.date()

    @property
    def end(self) -> date:
        """The day after the last batch."""
        return self.batches[-1].end.date()

    @property
    def trained(self) -> int:
        """How many batches come before the first training: all but the last."""
        return len(self.batches) - 1


def timed(con: duckdb.DuckDBPyConnection, columns: tuple[Column, ...], name: str) -> Schedule:
    """Return the schedule that cuts a time column into about 4 to 12 batches.

    Raises DataError where there is no such column, where it does not say when, where it spans fewer than 4 days or
    centuries, or where most batches would be empty.
    """
    column = next((one for one in columns if one.name == name), None)
    if column is None:
        names = [one.name for one in columns]
        raise DataError(f"no column {name!r} for the time{did_you_mean(name, names)}")
    if column.values == 0:
        raise DataError(f"time {name!r} has no value in any row")
    if not column.timed:
        raise DataError(
            f"time {name!r} is {_called(column)}, such as {_example(con, column)!r}: write it as 2026-01-31 or "
            "2026-01-31T14:30:00Z in every row"
        )
    first, last = _bounds(con, name)
    found: tuple[Batch, ...] = ()
    chosen = ""
    for preset in _PRESETS:
        coarser = _batches(preset, first, last, None if preset == _PRESETS[-1] else _COUNTED)
        if found and len(coarser) < _FEWEST:
            break
        chosen, found = preset, coarser
        if len(found) <= _MOST:
            break
    if len(found) < _FEWEST:
        raise DataError(
            f"time {name!r} spans {len(found)} days, {first.date()} to {last.date()}: {_FEWEST} are needed to cut it "
            "into batches; without --time the rows are dealt into two"
        )
    _check_empty(con, name, chosen, found)
    return Schedule(chosen, found, name)


def _bounds(con: duckdb.DuckDBPyConnection, name: str) -> tuple[datetime, datetime]:
    """Return the first and the last moment in UTC, as such without a zone."""
    moment = f"{identifier(name)}::timestamptz::timestamp"
    low, high, first, last = con.execute(
        f"select min({moment})::varchar, max({moment})::varchar, year(min({moment})), year(max({moment})) from {TABLE}"
    ).fetchall()[0]
    if first < _YEARS[0] or last > _YEARS[1]:
        raise DataError(f"time {name!r} runs from {low} to {high}: is one of them a stand-in for 'none'?")
    return datetime.fromisoformat(low), datetime.fromisoformat(high)


def _check_empty(con: duckdb.DuckDBPyConnection, name: str, preset: str, batches: tuple[Batch, ...]) -> None:
    """Refuse where more than half of the batches have no row: one mistyped date stretches them so."""
    days = con.execute(
        f"select {identifier(name)}::timestamptz::timestamp::date as day, count(*) from {TABLE} "
        f"where {identifier(name)} is not null group by 1 order by 1"
    ).fetchall()
    starts = [batch.start.date() for batch in batches]
    empty = len(batches) - len({bisect_right(starts, day) for day, _ in days})
    if 2 * empty <= len(batches):
        return
    gap = max(range(1, len(days)), key=lambda at: days[at][0] - days[at - 1][0])
    before, after = (sum(rows for _, rows in part) for part in (days[:gap], days[gap:]))
    raise DataError(
        f"{empty} of {len(batches)} batches, {preset} by {name!r}, would be empty; rows up to {days[gap - 1][0]}: "
        f"{before:,}, from {days[gap][0]} on: {after:,}. Is one of these dates mistyped? Without --time the rows are "
        "dealt into two"
    )


def dealt(today: date) -> Schedule:
    """Return two batches of a day each, the last of which ended yesterday: rows without a time are dealt to them."""
    first = today - timedelta(days=2)
    batches = _batches("@daily", _midnight(first), _midnight(first + timedelta(days=1)))
    return Schedule("@daily", batches)


def _batches(preset: str, first: datetime, last: datetime, most: int | None = None) -> tuple[Batch, ...]:
    """Return the batches from the one that holds `first` to the one that holds `last`, in UTC; `most` of them."""
    found = [batch_of(preset, _floor(preset, first.date()).isoformat(), ZONE)]
    while found[-1].end <= last.replace(tzinfo=UTC) and len(found) != most:
        found.append(batch_of(preset, found[-1].end.date().isoformat(), ZONE))
    return tuple(found)


def _floor(preset: str, day: date) -> date:
    """Return the newest day up to `day` at which a preset ticks."""
    if preset == "@weekly":
        return day - timedelta(days=day.isoweekday() % 7)
    if preset == "@monthly":
        return day.replace(day=1)
    if preset == "@quarterly":
        return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
    return day.replace(month=1, day=1) if preset == "@yearly" else day


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _called(column: Column) -> str:
    return "a number" if column.numeric else "true or false" if column.kind == "boolean" else "text"


def _example(con: duckdb.DuckDBPyConnection, column: Column) -> str:
    """Return a value that is no time, so that it can be looked for."""
    name = identifier(column.name)
    row = con.execute(
        f"select {name}::varchar from {TABLE} where {name} is not null "
        f"order by (try_cast({name}::varchar as timestamptz) is not null), {name} limit 1"
    ).fetchall()
    return str(row[0][0])

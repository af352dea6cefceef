"""How the rows become batches: by time, daily to yearly, or dealt into two where no column says when."""

from __future__ import annotations

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

    Raises DataError where there is no such column, where it does not say when, or where it spans fewer than 4 days.
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
    first, last = con.execute(
        f"select min({identifier(name)})::timestamptz::timestamp, max({identifier(name)})::timestamptz::timestamp "
        f"from {TABLE}"
    ).fetchall()[0]
    found: tuple[Batch, ...] = ()
    chosen = ""
    for preset in _PRESETS:
        coarser = _batches(preset, first, last)
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
    return Schedule(chosen, found, name)


def dealt(today: date) -> Schedule:
    """Return two batches of a day each, the last of which ended yesterday: rows without a time are dealt to them."""
    first = today - timedelta(days=2)
    batches = _batches("@daily", _midnight(first), _midnight(first + timedelta(days=1)))
    return Schedule("@daily", batches)


def _batches(preset: str, first: datetime, last: datetime) -> tuple[Batch, ...]:
    """Return the batches from the one that holds `first` to the one that holds `last`, in UTC."""
    found = [batch_of(preset, _floor(preset, first.date()).isoformat(), ZONE)]
    while found[-1].end <= last.replace(tzinfo=UTC):
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

"""How much is held out for the judgement: a stretch of the trained time that has both classes, or a share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import TABLE
from airflow_mlops_provider.scaffold.schedule import SHARE, Schedule
from airflow_mlops_provider.scaffold.target import Target
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

__all__ = ["holdout"]

# The gate compares two models on no fewer days.
_FEWEST_DAYS = 5
# On either side: a model of fewer rows is none, and a judgement on fewer neither.
_FEWEST_ROWS = 20
# Of four fifths of so many, a fifth that is drawn has none in one of 10,000 cases.
_FEWEST_DEALT = 50


def holdout(con: duckdb.DuckDBPyConnection, schedule: Schedule, target: Target) -> str:
    """Return the holdout as the file says it, `30d` or `0.2`.

    A stretch is a fifth of the days before the last batch, or longer, else shorter, where 20 rows or one of two
    classes would be missing on either side of its begin. Raises DataError where they are missing by any stretch.
    """
    if schedule.by is None:
        _check_dealt(target)
        return f"{SHARE:g}"
    days = (schedule.batches[-1].start - schedule.batches[0].start).days
    length = next((length for length in _lengths(days) if _enough(con, schedule, target, length)), None)
    if length is None:
        raise DataError(
            f"{_known(con, schedule, target):,} rows with a {target.name} lie before "
            f"{schedule.batches[-1].start.date()}, where the last batch begins. They cannot be parted by time into "
            f"some to fit on and newer ones to judge on, at least {_FEWEST_ROWS} of each{_wanted(target)}; without "
            "--time all rows are dealt by chance"
        )
    return f"{length}d"


def _lengths(days: int) -> Iterator[int]:
    """Yield the stretches in the order in which they are tried: a fifth, longer ones up to half, shorter ones."""
    most = max(1, days // 2)
    least = min(_FEWEST_DAYS, most)
    first = length = min(max(round(SHARE * days), _FEWEST_DAYS), most)
    yield first
    while length < most:
        length = min(2 * length, most)
        yield length
    length = first
    while length > least:
        length = max(length // 2, least)
        yield length


def _check_dealt(target: Target) -> None:
    if target.share is None:
        return
    known = target.column.rows - target.column.nulls
    rarer = round(min(target.share, 1 - target.share) * known)
    if rarer < _FEWEST_DEALT:
        raise DataError(
            f"{rarer} rows of one class of {target.name} are too few to be dealt by chance into some to fit on and "
            f"some to judge on: at least {_FEWEST_DEALT} are needed, or a --time"
        )


def _enough(con: duckdb.DuckDBPyConnection, schedule: Schedule, target: Target, days: int) -> bool:
    """Whether the rows on either side of the holdout's begin have what a judgement needs."""
    end = schedule.batches[-1].start
    cut = end - timedelta(days=days)
    moment = f"{identifier(str(schedule.by))}::timestamptz"
    found = con.execute(
        f"select {moment} < $cut as before, count(*), count(distinct {target.number}) from {TABLE} "
        f"where {moment} < $end and {identifier(target.name)} is not null group by 1",
        {"cut": cut, "end": end},
    ).fetchall()
    classes = 2 if target.task == "classification" else 1
    return len(found) == 2 and all(rows >= _FEWEST_ROWS and values >= classes for _, rows, values in found)


def _known(con: duckdb.DuckDBPyConnection, schedule: Schedule, target: Target) -> int:
    moment = f"{identifier(str(schedule.by))}::timestamptz"
    found = con.execute(
        f"select count({identifier(target.name)}) from {TABLE} where {moment} < $end",
        {"end": schedule.batches[-1].start},
    )
    return int(found.fetchall()[0][0])


def _wanted(target: Target) -> str:
    return " with both classes" if target.task == "classification" else ""

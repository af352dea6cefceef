"""How much is held out for the judgement: a stretch of the trained time that has both classes, or a share."""

from __future__ import annotations

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
# Of four fifths of so many, a fifth that is drawn has none in one of 10,000 cases.
_FEWEST_DEALT = 50


def holdout(con: duckdb.DuckDBPyConnection, schedule: Schedule, target: Target) -> str:
    """Return the holdout as the file says it, `30d` or `0.2`.

    A stretch is a fifth of the days before the last batch, or longer where it would lack rows or one of two classes.
    Raises DataError where even half of them lacks that.
    """
    if schedule.by is None:
        _check_dealt(target)
        return f"{SHARE:g}"
    days = (schedule.batches[-1].start - schedule.batches[0].start).days
    length = max(1, min(max(round(SHARE * days), _FEWEST_DAYS), days // 2))
    while not _enough(con, schedule, target, length):
        if length >= days // 2:
            raise DataError(
                f"the rows before {schedule.batches[-1].start.date()} cannot be parted by time into some to fit on and "
                f"newer ones to judge on, each with {_wanted(target)}; without --time they are dealt by chance"
            )
        length = min(2 * length, days // 2)
    return f"{length}d"


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
    return len(found) == 2 and all(values >= classes for _, _, values in found)


def _wanted(target: Target) -> str:
    return f"both classes of {target.name}" if target.task == "classification" else f"a {target.name}"

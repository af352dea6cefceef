"""Which columns a model must not see, each with the reason and the evidence: what tells the target, ids, the future."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_mlops_provider.scaffold.columns import TABLE, Column
from airflow_mlops_provider.scaffold.key import is_counter, is_named_id
from airflow_mlops_provider.scaffold.target import Target
from airflow_mlops_provider.scaffold.telling import judge, telling
from airflow_mlops_provider.scaffold.unread import unread
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

__all__ = ["LeftOut", "left_out"]

# A text with so large a share of distinct values, and so many, is a name or free text.
_FREE_TEXT = 0.5
_FEWEST_FREE = 100


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column that is no feature, and why."""

    name: str
    reason: str


def left_out(
    con: duckdb.DuckDBPyConnection, columns: Sequence[Column], target: Target, key: Sequence[str], time: str | None
) -> tuple[LeftOut, ...]:
    """Return the columns that are no features, in the file's order; the target is not among them."""
    judge(con, target)
    found = []
    for column in columns:
        if column.name == target.name:
            continue
        reason = next(_reasons(con, column, target, key, time), None)
        if reason is not None:
            found.append(LeftOut(column.name, reason))
    return tuple(found)


def _reasons(
    con: duckdb.DuckDBPyConnection, column: Column, target: Target, key: Sequence[str], time: str | None
) -> Iterator[str]:
    """Yield what speaks against a column, the plainest first."""
    if column.name == time:
        yield "the time"
    if column.name in key:
        yield "the key" if len(key) == 1 else "part of the key"
    if column.values == 0:
        yield f"null in all {column.rows:,} rows"
    yield from telling(con, column, target)
    if column.timed:
        yield _timed(con, column, time)
    if column.kind == "text" and (meant := unread(con, column)):
        yield meant
    if column.values == 1 and not column.nulls:
        yield "the same value in every row"
    if is_counter(column):
        yield f"a counter: whole numbers from {column.low} to {column.high} without a gap"
    yield from _names(column)


def _names(column: Column) -> Iterator[str]:
    """Yield that a column names its rows, or most of them."""
    present = column.rows - column.nulls
    many = column.values > max(_FEWEST_FREE, _FREE_TEXT * present)
    if column.kind in ("integer", "text") and is_named_id(column.name):
        if column.unique:
            yield "an id: another value in every row"
        if many and column.kind == "integer":
            yield f"an id: {column.values:,} values in {present:,} rows"
    if many and column.kind == "text":
        yield f"names or free text: {column.values:,} values in {present:,} rows"


def _timed(con: duckdb.DuckDBPyConnection, column: Column, time: str | None) -> str:
    if time is not None:
        own, event = identifier(column.name), identifier(time)
        later, present = con.execute(
            f"select count_if({own}::timestamptz > {event}::timestamptz), count({own}) from {TABLE}"
        ).fetchall()[0]
        if later:
            return f"the future: later than {time} in {later:,} of {present:,} rows"
    return "a time: derive from it what the model should know, such as an age in days"

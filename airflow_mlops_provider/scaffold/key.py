"""What names a row: a column that is unique and never null, else the smallest pair of them, else a number of ours."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

from airflow_mlops_provider.scaffold.columns import TABLE, Column
from airflow_mlops_provider.scaffold.unread import unread
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

__all__ = ["ROW_ID", "is_counter", "is_named_id", "key_of"]

ROW_ID = "row_id"
# num_rooms and key_rate are measures, order_num and public_key are not.
_NAMED = re.compile(
    r"(^|[_\W])(?i:id|uuid|guid)([_\W]|$)|(^|[_\W])(?i:key|nr|no|num|number|nummer)\W*$|[a-z](Id|ID|Key|Number)$"
)
# The predictions' own columns beside the key.
_TAKEN = frozenset({"role", "model", "model_version", "data_version", "feature_versions", "run_key"})
_MOST_PAIRED = 12


def is_named_id(name: str) -> bool:
    """Whether a column is called as ids are: customer_id, orderNumber, key."""
    return _NAMED.search(name) is not None


def key_of(con: duckdb.DuckDBPyConnection, columns: tuple[Column, ...], target: str) -> tuple[str, ...]:
    """Return the names of the columns that name a row together; empty where no one and no two do."""
    able = [
        column
        for column in columns
        if column.nulls == 0 and column.kind in ("integer", "text", "date", "timestamp", "timestamptz")
        if column.name != target and column.name.lower() not in _TAKEN
        if column.kind != "text" or unread(con, column) is None
    ]
    single = [column for column in able if column.unique and not column.timed]
    # Measured whole numbers may happen to differ in each row: without an id's name only a counter or a text is one.
    others = [column for column in single if column.kind == "text" or is_counter(column)]
    chosen = [column for column in single if is_named_id(column.name)] or others
    return (chosen[0].name,) if chosen else _pair(con, able)


def is_counter(column: Column) -> bool:
    """Whether it numbers the rows: unique whole numbers without a gap."""
    if column.kind != "integer" or not column.unique:
        return False
    return int(column.high) - int(column.low) + 1 == column.rows  # type: ignore[arg-type]  # an integer's bounds


def _names(a: Column, b: Column) -> bool:
    """Whether two columns may name a row by what they are: two measures would do so by chance only."""
    ids = is_named_id(a.name), is_named_id(b.name)
    return any(ids) and all(
        named or column.timed or column.kind == "text" for named, column in zip(ids, (a, b), strict=True)
    )


def _pair(con: duckdb.DuckDBPyConnection, able: list[Column]) -> tuple[str, ...]:
    """Return the unique pair of the fewest values: an id with another one, a time or a text."""
    likely = sorted(able, key=lambda c: (not (is_named_id(c.name) or c.timed), c.values))[:_MOST_PAIRED]
    pairs = [(a, b) for a, b in combinations(likely, 2) if a.values * b.values >= a.rows and _names(a, b)]
    pairs.sort(key=lambda pair: pair[0].values + pair[1].values)
    for pair in pairs:
        names = ", ".join(identifier(column.name) for column in pair)
        twice = f"select 1 from {TABLE} group by {names} having count(*) > 1 limit 1"
        if not con.execute(twice).fetchall():
            return tuple(column.name for column in able if column in pair)
    return ()

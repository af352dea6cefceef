"""What a profile asks of one column, as Ibis expressions over its `cells`: the column `day`, and `value` or `level`.

An expression knows no name and no edge of a real column, so that it is compiled once a process for each `dialect`,
whatever is profiled: to compile one for all columns and their edges takes longer than to count a month of rows.
What is no finite number is null in `value`: engines differ on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

__all__ = ["CELLS", "KNOWN", "bins", "buckets", "edge_names", "figures", "levels"]

CELLS = "_profile_cells"
# The levels that are counted each for itself, in column `known`.
KNOWN = "_profile_known"


@cache
def figures(dialect: str) -> str:
    """Ask for mean, population std, minimum and maximum of `value`."""
    import ibis

    values = ibis.table({"value": "float64"}, name=CELLS)
    value = values.value
    return _sql(
        values.aggregate(mean=value.mean(), std=value.std(how="pop"), minimum=value.min(), maximum=value.max()), dialect
    )


@cache
def bins(edges: int, dialect: str) -> str:
    """Ask for `rows` and the `sum` of `value` by `day` and `key`: the number of edges below, null for null.

    The edges are columns of the cells, named by `edge_names`, in order.
    """
    import ibis

    names = edge_names(edges)
    values = ibis.table({"value": "float64", "day": "date", **dict.fromkeys(names, "float64")}, name=CELLS)
    # Nulls are told apart once, not at each comparison.
    place = _below(values.value, [values[name] for name in names])
    keyed = values.select("day", "value", key=ibis.ifelse(values.value.isnull(), ibis.null("int32"), place))
    return _sql(keyed.group_by("day", "key").aggregate(rows=keyed.count(), sum=keyed.value.sum()), dialect)


@cache
def levels(most: int, dialect: str) -> str:
    """Ask for the `most` most frequent values of `level`, ties by name."""
    import ibis

    cells = ibis.table({"level": "string"}, name=CELLS)
    counted = cells.filter(cells.level.notnull()).group_by("level").aggregate(rows=ibis._.count())
    return _sql(counted.order_by([counted.rows.desc(), counted.level]).limit(most), dialect)


@cache
def buckets(dialect: str) -> str:
    """Ask for `rows` by `day` and `key`: the level where it is known or null, else the cells' column `rest`."""
    import ibis

    cells = ibis.table({"day": "date", "level": "string", "rest": "string"}, name=CELLS)
    known = ibis.table({"known": "string"}, name=KNOWN)
    joined = cells.left_join(known, cells.level == known.known)
    named = joined.level.isnull() | joined.known.notnull()
    keyed = joined.select("day", key=ibis.ifelse(named, joined.level, joined.rest))
    return _sql(keyed.group_by("day", "key").aggregate(rows=keyed.count()), dialect)


def edge_names(count: int) -> list[str]:
    """Return the names of the cells' columns that hold a column's edges."""
    return [f"edge{i}" for i in range(count)]


def _below(value: Any, edges: Sequence[Any], first: int = 0) -> Any:
    """The number of edges below `value`, by halving: 5 comparisons for 20 bins."""
    import ibis

    if not edges:
        return ibis.literal(first, "int32")
    half = len(edges) // 2
    left, right = _below(value, edges[:half], first), _below(value, edges[half + 1 :], first + half + 1)
    return ibis.ifelse(value <= edges[half], left, right)


def _sql(expression: Any, dialect: str) -> str:
    import ibis

    getattr(ibis, dialect)  # registers the engine's options, which its compiler reads
    return str(ibis.to_sql(expression, dialect=dialect))

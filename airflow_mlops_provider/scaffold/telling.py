"""How surely one column by itself tells the outcome: what does so is not known in advance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_mlops_provider.scaffold.columns import TABLE, Column
from airflow_mlops_provider.scaffold.target import Target
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

__all__ = ["judge", "telling"]

_JUDGED = "judged"
_OUTCOME = "#y"
# Columns of these names are refused, so that no one is taken for another.
_RANKS = ('"#a"', '"#b"')
_MOST_ROWS = 200_000
# One column that parts the classes so well, or follows the number so closely, is not known in advance.
_AUC = 0.999
_CORRELATION = 0.999
# Groups that are this large on average do not tell the outcome by chance.
_ROWS_A_GROUP = 10
_MISSED = 0.01


def judge(con: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Put aside the rows whose outcome is known, a sample of them where they are many, for `telling`."""
    con.execute(
        f"create or replace table {_JUDGED} as select *, {target.number} as {identifier(_OUTCOME)} from {TABLE} "
        f"where {identifier(target.name)} is not null using sample reservoir({_MOST_ROWS} rows) repeatable (0)"
    )


def telling(con: duckdb.DuckDBPyConnection, column: Column, target: Target) -> Iterator[str]:
    """Yield how a column tells the target, the plainest first; nothing of one that does not."""
    name = identifier(column.name)
    if target.task == "classification":
        if column.nulls and _parts(con, f"({name} is null)"):
            yield f"tells {target.name}: it is null for one class only"
        elif column.values <= column.rows / _ROWS_A_GROUP and _parts(con, name):
            yield f"tells {target.name}: each of its values goes with one class only"
        elif _parts(con, f"({name} = (select mode({name}) from {_JUDGED}))"):
            yield f"tells {target.name}: its most frequent value goes with one class only"
        elif column.numeric and (auc := _auc(con, name)) is not None and max(auc, 1 - auc) > _AUC:
            yield f"tells {target.name}: alone it parts the classes, ROC AUC {max(auc, 1 - auc):.4f}"
    elif column.numeric or column.kind == "boolean":
        together = _correlation(con, name)
        if together is not None and abs(together) > _CORRELATION:
            yield f"tells {target.name}: correlation {together:+.4f}"
    elif column.values <= column.rows / _ROWS_A_GROUP and (left := _within(con, name)) < 1 - _CORRELATION:
        yield f"tells {target.name}: it hardly differs among rows of one value, {left:.2%} of its variance"


def _parts(con: duckdb.DuckDBPyConnection, value: str) -> bool:
    """Whether the outcome is one and the same among the rows of each value, but for chance misses."""
    missed, rarer = con.execute(
        f"select sum(least(ones, rows - ones))::double, least(sum(ones), sum(rows - ones))::double from "
        f"(select count(*) as rows, sum({identifier(_OUTCOME)}) as ones from {_JUDGED} group by {value})"
    ).fetchall()[0]
    # A sample may have one class only, and then tells nothing.
    return bool(rarer and missed <= _MISSED * rarer)


def _auc(con: duckdb.DuckDBPyConnection, name: str) -> float | None:
    """Return the area under the ROC curve of a column by itself (Mann & Whitney 1947); None for one class only."""
    y = identifier(_OUTCOME)
    ranks, ones, zeros = con.execute(
        f"select sum(place) filter ({y} = 1), count_if({y} = 1), count_if({y} = 0) from (select {y}, "
        f"rank() over (order by {name}) + (count(*) over (partition by {name}) - 1) / 2.0 as place "
        f"from {_JUDGED} where {name} is not null)"
    ).fetchall()[0]
    if not ones or not zeros:
        return None
    return float((ranks - ones * (ones + 1) / 2) / (ones * zeros))


def _correlation(con: duckdb.DuckDBPyConnection, name: str) -> float | None:
    """Return Pearson's or Spearman's correlation with the outcome, whichever is larger."""
    y, (a, b) = identifier(_OUTCOME), _RANKS
    straight, ranked = con.execute(
        f"select corr({name}::double, {y}), corr({a}, {b}) from (select {name}, {y}, "
        f"rank() over (order by {name}) as {a}, rank() over (order by {y}) as {b} "
        f"from {_JUDGED} where {name} is not null)"
    ).fetchall()[0]
    found = [float(one) for one in (straight, ranked) if one is not None]
    return max(found, key=abs, default=None)


def _within(con: duckdb.DuckDBPyConnection, name: str) -> float:
    """Return the share of the outcome's variance that is left among the rows of one value, 0 to 1."""
    y = identifier(_OUTCOME)
    inner, whole = con.execute(
        f"select sum(spread), (select var_pop({y}) * count(*) from {_JUDGED}) "
        f"from (select var_pop({y}) * count(*) as spread from {_JUDGED} group by {name})"
    ).fetchall()[0]
    return float(inner / whole) if whole else 1.0

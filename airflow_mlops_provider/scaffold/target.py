"""What is to be predicted: two classes, or a number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.factory.errors import did_you_mean
from airflow_mlops_provider.scaffold.columns import TABLE, Column
from airflow_mlops_provider.scaffold.csv_file import SIGNS
from airflow_mlops_provider.scaffold.unread import unread
from airflow_mlops_provider.steps.sql import identifier, literal

if TYPE_CHECKING:
    import duckdb

__all__ = ["Target", "target_of"]

_FEWEST_ROWS = 100
_FEWEST_OF_CLASS = 10
_SHOWN = 5
# Which of two words is the one that is asked for.
_YES = frozenset({"yes", "y", "true", "t", "positive", "pos", "ja", "oui", "si", "sim", "late", "bad", "fraud"})
_NO = frozenset({"no", "n", "false", "f", "negative", "neg", "nein", "non", "nao", "good", "ok", "none"})


@dataclass(frozen=True, slots=True)
class Target:
    """The target. `positive` and `negative` are the two words of classes that are not 0 and 1 or true and false.

    `share` is the positive class's among the rows that have an outcome; None of a regression.
    """

    column: Column
    task: Literal["classification", "regression"]
    positive: str | None = None
    negative: str | None = None
    share: float | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def number(self) -> str:
        """The outcome as a number, in SQL: 1 for the positive class, null where it is not known."""
        name = identifier(self.name)
        if self.positive is None:
            return f"{name}::double"
        return f"case when {name} is null then null when {name}::varchar = {literal(self.positive)} then 1.0 else 0 end"


def target_of(con: duckdb.DuckDBPyConnection, columns: tuple[Column, ...], name: str) -> Target:
    """Return the target and its task, by its values. Raises DataError where nothing can be learned from it."""
    column = next((one for one in columns if one.name == name), None)
    if column is None:
        names = [one.name for one in columns]
        raise DataError(f"no column {name!r} for the target{did_you_mean(name, names)}")
    known = column.rows - column.nulls
    if not known:
        raise DataError(f"target {name!r} has no value in any row")
    if known < _FEWEST_ROWS:
        raise DataError(f"{known} rows with a target {name!r} are too few: at least {_FEWEST_ROWS} are needed")
    if column.values == 1:
        raise DataError(f"target {name!r} is {_values(con, column)[0][0]!r} in every row: there is nothing to predict")
    if column.values == 2:
        return _classes(con, column, known)
    if column.numeric:
        return Target(column, "regression")
    _check_text(con, column)
    often = [str(value) for value, _ in _values(con, column)]
    shown = ", ".join(map(repr, often)) + (", ..." if column.values > _SHOWN else "")
    raise DataError(
        f"target {name!r} has {column.values:,} classes ({shown}): a pipeline predicts one of two classes, or a "
        f"number. Ask one question of it in a column of its own, such as: is it {next(filter(None, often))}?"
    )


def _classes(con: duckdb.DuckDBPyConnection, column: Column, known: int) -> Target:
    found = {str(value): count for value, count in _values(con, column)}
    rare = min(found, key=lambda value: found[value])
    if found[rare] < _FEWEST_OF_CLASS:
        few = f"target {column.name!r} is {rare!r} in {found[rare]} rows"
        raise DataError(f"{few}: at least {_FEWEST_OF_CLASS} of each class are needed")
    if column.kind == "boolean":
        return Target(column, "classification", share=found["True"] / known)
    if column.numeric and (column.low, column.high) == (0, 1):
        one = next(count for value, count in found.items() if math.isclose(float(value), 1.0))
        return Target(column, "classification", share=one / known)
    if column.kind == "number":
        return Target(column, "regression")
    positive = _positive(found)
    negative = next(value for value in found if value != positive)
    for word in (positive, negative):
        if not word.isprintable() or any(sign in word for sign in SIGNS):
            raise DataError(f"target {column.name!r} has the class {word!r}: a pipeline file cannot hold it")
    return Target(column, "classification", positive, negative, found[positive] / known)


def _check_text(con: duckdb.DuckDBPyConnection, column: Column) -> None:
    """Refuse numbers that are a text because of how some are written, rather than call them classes."""
    name = identifier(column.name)
    finite = f"coalesce(isfinite(try_cast(replace({name}::varchar, ',', '.') as double)), false)"
    example, numbers = con.execute(
        f"select min({name}) filter (not {finite}), count_if({finite}) from {TABLE} where {name} is not null"
    ).fetchall()[0]
    known = column.rows - column.nulls
    if example is not None and numbers > known / 2:
        odd = known - numbers
        raise DataError(
            f"target {column.name!r} is text, not a number: such as {example!r}, one of {odd:,} of {known:,} values"
        )
    meant = unread(con, column)
    if meant:
        raise DataError(f"target {column.name!r} is text, not a number: {meant}")


def _positive(found: dict[str, int]) -> str:
    """Return the class that is asked for: a yes, the opposite of a no, the larger number, else the rarer word."""
    words = sorted(found, key=lambda value: (found[value], value))
    if all(value.lstrip("-").isdigit() for value in words):
        return max(words, key=int)
    for value in words:
        if value.lower() in _YES:
            return value
    if any(value.lower() in _NO for value in words):
        return next(value for value in words if value.lower() not in _NO)
    return words[0]


def _values(con: duckdb.DuckDBPyConnection, column: Column) -> list[tuple[object, int]]:
    """Return the most frequent values with their rows."""
    name = identifier(column.name)
    found = con.execute(
        f"select {name}, count(*) from {TABLE} where {name} is not null group by 1 order by 2 desc, 1 limit {_SHOWN}"
    )
    return [(value, int(rows)) for value, rows in found.fetchall()]

"""Expectations on one figure of a table, and on its columns' names. Meaning is Great Expectations' own."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, StrictInt

from airflow_mlops_provider.steps.expectations.base import (
    Bounds,
    Column,
    SchemaExpectation,
    StatisticExpectation,
)
from airflow_mlops_provider.steps.expectations.values import as_bound, numeric

if TYPE_CHECKING:
    import ibis.expr.types as ir

__all__ = [
    "ColumnExists",
    "ColumnsMatchSet",
    "Max",
    "Mean",
    "Median",
    "Min",
    "NonNullProportion",
    "RowCountBetween",
    "RowCountEqual",
    "Stdev",
    "Sum",
    "UniqueCount",
    "UniqueProportion",
]

# Squares of larger numbers leave the range of a double, where DuckDB raises instead of answering.
_SQUARABLE = 1e150


class _Bounded(StatisticExpectation, Bounds):
    only: ClassVar[tuple[type, ...]] = (int, float)

    def meets(self, value: Any) -> bool:
        """Return whether the figure lies within the bounds; none at all (no value, NaN) does not."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return False
        low, high = (_like(bound, value) for bound in (self.min_value, self.max_value))
        return not self.outside(value, low, high)

    def expected(self) -> str:
        """Return the bounds in words."""
        return self.words()


class _ColumnStatistic(_Bounded):
    column: Column

    def columns(self) -> tuple[str, ...]:
        return (self.column,)


def _like(bound: Any, value: Any) -> Any:
    """Return an ISO bound as the day or moment that the figure is."""
    if not isinstance(bound, str) or not isinstance(value, date):
        return bound
    moment = datetime.fromisoformat(bound)
    if not isinstance(value, datetime):
        return moment.date()
    if value.tzinfo is None:
        return moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class Mean(_ColumnStatistic):
    """Arithmetic mean of the values."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the mean."""
        return numeric(t[self.column]).mean()


class Median(_ColumnStatistic):
    """Median; of an even number of values the mean of the middle two."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the median."""
        return numeric(t[self.column]).cast("float64").median()


class Sum(_ColumnStatistic):
    """Sum; 0 of no values."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the sum as a double: an integer one may leave its range."""
        return numeric(t[self.column]).cast("float64").sum().fill_null(0.0)


class Stdev(_ColumnStatistic):
    """Sample standard deviation (n - 1); none where a value is infinite."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the standard deviation, null where a value's square leaves the range of a double."""
        import ibis

        x = numeric(t[self.column]).cast("float64")
        safe = (x < _SQUARABLE) & (x > -_SQUARABLE)
        return (x.count() == x.count(where=safe)).ifelse(x.std(where=safe), ibis.null())


class Min(_ColumnStatistic):
    """Smallest value: a number, a day or a moment (bounds in ISO form)."""

    only = (int, float, str)

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the smallest value. Raises Inapplicable where a bound is of another kind."""
        return self._checked(t).min()

    def _checked(self, t: ir.Table) -> ir.Value:
        x = t[self.column]
        for bound in (self.min_value, self.max_value):
            if bound is not None:
                as_bound(x, bound)
        return x


class Max(Min):
    """Largest value, as `Min`."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the largest value. Raises Inapplicable where a bound is of another kind."""
        return self._checked(t).max()


class UniqueCount(_ColumnStatistic):
    """Number of distinct values; null is none."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the number of distinct values."""
        return t[self.column].nunique()


class UniqueProportion(_ColumnStatistic):
    """Distinct values over values; 0 of no values."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the proportion."""
        x = t[self.column]
        return (x.nunique() / x.count().nullif(0)).fill_null(0.0)


class NonNullProportion(_ColumnStatistic):
    """Values over rows; 0 of no rows."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the proportion."""
        return (t[self.column].count() / t.count().nullif(0)).fill_null(0.0)


class RowCountBetween(_Bounded):
    """Number of rows within bounds."""

    def columns(self) -> tuple[str, ...]:
        """Return nothing: rows have no column."""
        return ()

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the number of rows."""
        return t.count()


class RowCountEqual(StatisticExpectation):
    """Number of rows."""

    expected_rows: Annotated[StrictInt, Field(ge=0, alias="value")]

    def columns(self) -> tuple[str, ...]:
        """Return nothing: rows have no column."""
        return ()

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the number of rows."""
        return t.count()

    def meets(self, value: Any) -> bool:
        """Return whether the number is the one."""
        return bool(value == self.expected_rows)

    def expected(self) -> str:
        """Return the number in words."""
        return f"= {self.expected_rows}"


class ColumnsMatchSet(SchemaExpectation):
    """The table's columns are these, in any order; with `exact_match` false it may have more."""

    column_set: list[Column]
    exact_match: bool = True

    def fault(self, names: list[str]) -> str:
        """Return the missing and the surplus columns."""
        missing = sorted(set(self.column_set) - set(names))
        surplus = sorted(set(names) - set(self.column_set)) if self.exact_match else []
        parts = [f"{word} {', '.join(found)}" for word, found in (("missing", missing), ("surplus", surplus)) if found]
        return "; ".join(parts)


class ColumnExists(SchemaExpectation):
    """The table has the column; with `column_index` at that place, counted from 0."""

    column: Column
    column_index: Annotated[StrictInt, Field(ge=0)] | None = None

    def fault(self, names: list[str]) -> str:
        """Return what is at its place instead."""
        if self.column not in names:
            return f"missing {self.column}"
        # GX takes index 0 for "none given".
        if self.column_index and names.index(self.column) != self.column_index:
            return f"{self.column} is column {names.index(self.column)}, not {self.column_index}"
        return ""

"""Expectations on each row. Names and meaning are Great Expectations' own (core, 1.x, on pandas)."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from airflow_mlops_provider.steps.expectations.base import Bounds, Column, RowExpectation, Scalar, UniqueExpectation
from airflow_mlops_provider.steps.expectations.values import as_bound, as_kind, comparable, kind, text
from airflow_mlops_provider.steps.sql import literal

if TYPE_CHECKING:
    import ibis.expr.types as ir

    Lookups = Mapping[str, ir.Table]

__all__ = [
    "CompoundUnique",
    "LengthBetween",
    "LengthEqual",
    "MatchRegex",
    "NotMatchRegex",
    "PairGreater",
    "ValuesBetween",
    "ValuesInSet",
    "ValuesNotInSet",
    "ValuesNotNull",
    "ValuesNull",
    "ValuesUnique",
]


def _regex(pattern: str) -> str:
    """Refuse what RE2 (DuckDB's engine) does not know: look-around and back references among it."""
    try:
        re.compile(pattern)
    except re.error as exc:
        raise ValueError(f"not a regular expression: {exc}") from None
    if importlib.util.find_spec("duckdb"):
        import duckdb

        with duckdb.connect() as con:
            try:
                # Not a bound value: DuckDB would import pandas to bind it.
                con.execute(f"select regexp_matches('', {literal(pattern)})")
            except duckdb.Error as exc:
                raise ValueError(f"not a regular expression of RE2: {exc}") from None
    return pattern


Regex = Annotated[StrictStr, AfterValidator(_regex)]


class _OneColumn(RowExpectation):
    column: Column

    def columns(self) -> tuple[str, ...]:
        return (self.column,)


class ValuesNotNull(_OneColumn):
    """No null, and no NaN."""

    def considered(self, _t: ir.Table) -> ir.BooleanValue:
        """Return all rows."""
        import ibis

        return ibis.literal(True)

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return the nulls."""
        return t[self.column].isnull()


class ValuesNull(ValuesNotNull):
    """Nothing but null or NaN."""

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return the values."""
        return t[self.column].notnull()


class ValuesBetween(_OneColumn, Bounds):
    """Numbers, days or moments (bounds in ISO form) within bounds."""

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what lies outside."""
        x = t[self.column]
        low, high = (None if v is None else as_bound(x, v) for v in (self.min_value, self.max_value))
        return self.outside(x, low, high)


class ValuesInSet(_OneColumn):
    """One of the named values."""

    value_set: list[Scalar | None]

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what is not in the set."""
        return ~_member(t[self.column], self.value_set)


class ValuesNotInSet(ValuesInSet):
    """None of the named values."""

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what is in the set."""
        return _member(t[self.column], self.value_set)


def _member(x: ir.Value, values: list[Any]) -> ir.BooleanValue:
    # A value of another kind equals nothing in the column (as in pandas), so it is left out; times are read.
    fits: dict[str, tuple[type, ...]] = {"number": (int, float), "truth": (bool,)}
    kinds = fits.get(kind(x), (str,))
    same: list[Any] = [v for v in values if isinstance(v, kinds) and isinstance(v, bool) == (kind(x) == "truth")]
    return x.isin([as_kind(x, v) for v in same])


class MatchRegex(_OneColumn):
    """The pattern occurs in the text, anywhere unless anchored. RE2: `$` is the very end, classes are ASCII."""

    regex: Regex

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what does not match."""
        return ~self._found(t)

    def _found(self, t: ir.Table) -> ir.BooleanValue:
        # Ibis asks DuckDB to let `.` match a newline; Python's does not.
        return text(t[self.column]).re_search(f"(?-s:{self.regex})")


class NotMatchRegex(MatchRegex):
    """The pattern occurs nowhere in the text."""

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what matches."""
        return self._found(t)


class LengthBetween(_OneColumn, Bounds):
    """Length of the text in code points, within bounds."""

    only = (int, float)

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what is shorter or longer."""
        length = text(t[self.column]).length()
        return self.outside(length, self.min_value, self.max_value)


class LengthEqual(_OneColumn):
    """Length of the text in code points."""

    value: Annotated[StrictInt, Field(ge=0)]

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return what is shorter or longer."""
        return text(t[self.column]).length() != self.value


class ValuesUnique(_OneColumn, UniqueExpectation):
    """No value twice; nulls do not count."""


class CompoundUnique(UniqueExpectation):
    """No combination twice; a null in it is a value like others, unless the row is ignored."""

    column_list: Annotated[list[Column], Field(min_length=2)]
    ignore_row_if: Literal["all_values_are_missing", "any_value_is_missing", "never"] = "all_values_are_missing"

    def columns(self) -> tuple[str, ...]:
        """Return the columns of the combination."""
        return tuple(self.column_list)

    def considered(self, t: ir.Table) -> ir.BooleanValue:
        """Return the rows that are not ignored."""
        return _kept(t, self.columns(), self.ignore_row_if)


class PairGreater(RowExpectation):
    """A is larger than B; a row with one null of the two is unexpected unless it is ignored."""

    column_A: Column  # noqa: N815  # GX's name
    column_B: Column  # noqa: N815  # GX's name
    or_equal: bool = False
    ignore_row_if: Literal["both_values_are_missing", "either_value_is_missing", "neither"] = "both_values_are_missing"

    def columns(self) -> tuple[str, ...]:
        """Return A and B."""
        return (self.column_A, self.column_B)

    def considered(self, t: ir.Table) -> ir.BooleanValue:
        """Return the rows that are not ignored."""
        return _kept(t, self.columns(), self.ignore_row_if)

    def unexpected(self, t: ir.Table, _lookups: Lookups) -> ir.BooleanValue:
        """Return where A is not larger, or cannot be told to be."""
        a, b = t[self.column_A], t[self.column_B]
        comparable(a, b)
        greater = a >= b if self.or_equal else a > b
        return ~greater.fill_null(False)


def _kept(t: ir.Table, columns: tuple[str, ...], ignored: str) -> ir.BooleanValue:
    import ibis

    present = [t[name].notnull() for name in columns]
    if ignored.startswith(("all", "both")):
        return ibis.or_(*present)
    if ignored.startswith(("any", "either")):
        return ibis.and_(*present)
    return ibis.literal(True)

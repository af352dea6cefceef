"""What every compiled expectation has in common: keyword arguments as a strict model, and two kinds of answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

if TYPE_CHECKING:
    import ibis.expr.types as ir

__all__ = [
    "Bounds",
    "Column",
    "Inapplicable",
    "Kwargs",
    "RowExpectation",
    "Scalar",
    "SchemaExpectation",
    "StatisticExpectation",
    "UniqueExpectation",
]

Column = Annotated[StrictStr, Field(min_length=1)]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


class Inapplicable(Exception):  # noqa: N818  # a state of suite and data, told in the verdict, never raised out
    """An expectation cannot be asked of this table: a column is missing or of another kind."""


class Kwargs(BaseModel):
    """An expectation's `kwargs`, as GX 1.x writes them; unknown keys and other types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    def columns(self) -> tuple[str, ...]:
        """Return the columns that are read, in the order in which they are written."""
        raise NotImplementedError

    def lookups(self) -> tuple[str, ...]:
        """Return the other lake tables that are read."""
        return ()


class RowExpectation(Kwargs):
    """A claim on each row. `mostly` is the least share of the considered rows that must meet it."""

    mostly: float = Field(1.0, ge=0, le=1)

    def considered(self, t: ir.Table) -> ir.BooleanValue:
        """Return which rows count: as in GX those that are not null."""
        return t[self.columns()[0]].notnull()

    def unexpected(self, t: ir.Table, lookups: Mapping[str, ir.Table]) -> ir.BooleanValue:
        """Return which rows break the claim (null: no). Raises Inapplicable."""
        raise NotImplementedError


class UniqueExpectation(RowExpectation):
    """A claim on groups of rows with equal `columns()`; every row of a group of two or more is unexpected."""


class StatisticExpectation(Kwargs):
    """A claim on one figure of the whole table."""

    def value(self, t: ir.Table) -> ir.Scalar:
        """Return the figure. Raises Inapplicable."""
        raise NotImplementedError

    def meets(self, value: Any) -> bool:
        """Return whether the figure, as Python has it, meets the claim."""
        raise NotImplementedError

    def expected(self) -> str:
        """Return in words what the figure should be."""
        raise NotImplementedError


class SchemaExpectation(Kwargs):
    """A claim on the table's column names."""

    def columns(self) -> tuple[str, ...]:
        """Return nothing: a missing column is an answer here, not an obstacle."""
        return ()

    def fault(self, names: list[str]) -> str:
        """Return what is wrong with the table's columns; empty if nothing is."""
        raise NotImplementedError


def _iso(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"a bound is a number, or a day or time in ISO form, not {text!r}") from None


class Bounds(Kwargs):
    """`min_value` and `max_value`, each closed unless said otherwise; one of them at least."""

    min_value: Scalar | None = None
    max_value: Scalar | None = None
    strict_min: bool = False
    strict_max: bool = False

    only: ClassVar[tuple[type, ...]] = (int, float, str)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        low, high = self.min_value, self.max_value
        given = [v for v in (low, high) if v is not None]
        if not given:
            raise ValueError("give min_value, max_value or both")
        if any(isinstance(v, bool) or not isinstance(v, self.only) for v in given):
            raise ValueError(f"a bound is one of {', '.join(t.__name__ for t in self.only)}")
        for bound in given:
            if isinstance(bound, str):
                _iso(bound)
        if len(given) == 2:
            if isinstance(low, str) != isinstance(high, str):
                raise ValueError("min_value and max_value are of different types")
            if low > high:  # type: ignore[operator]  # both text or both numbers, by the line above
                raise ValueError("min_value is larger than max_value")
        return self

    def words(self) -> str:
        """Return the bounds as people read them."""
        parts = []
        if self.min_value is not None:
            parts.append(f"{'>' if self.strict_min else '>='} {self.min_value}")
        if self.max_value is not None:
            parts.append(f"{'<' if self.strict_max else '<='} {self.max_value}")
        return " and ".join(parts)

    def outside(self, x: Any, low: Any, high: Any) -> Any:
        """Return whether `x`, a Python value or a column, lies outside; `low` and `high` are the bounds as its kind."""
        tests = []
        if low is not None:
            tests.append(x <= low if self.strict_min else x < low)
        if high is not None:
            tests.append(x >= high if self.strict_max else x > high)
        return tests[0] if len(tests) == 1 else tests[0] | tests[1]

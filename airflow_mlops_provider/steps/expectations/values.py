"""JSON values as values of a column's kind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.steps.expectations.base import Inapplicable, Scalar

if TYPE_CHECKING:
    import ibis.expr.types as ir

__all__ = ["as_bound", "as_kind", "comparable", "kind", "nan_as_null", "numeric", "text"]

_INT64 = 2**63


def kind(x: ir.Value) -> str:
    """Return the kind of a column that comparisons go by: number, text, truth, moment, day, or the type's name."""
    dtype = x.type()
    for name, found in (
        ("number", dtype.is_numeric() and not dtype.is_boolean()),
        ("text", dtype.is_string()),
        ("truth", dtype.is_boolean()),
        ("moment", dtype.is_timestamp()),
        ("day", dtype.is_date()),
    ):
        if found:
            return name
    return str(dtype)


def as_kind(x: ir.Value, value: Scalar) -> Any:
    """Return `value` as it compares with column `x`: text in ISO form for times (UTC where it names no offset).

    Raises Inapplicable where the two are of different kinds.
    """
    import ibis

    wanted = kind(x)
    if wanted == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) >= _INT64 else value
    if (wanted == "text" and isinstance(value, str)) or (wanted == "truth" and isinstance(value, bool)):
        return value
    if wanted in ("moment", "day") and isinstance(value, str):
        return ibis.literal(_time(x, value), type=x.type())
    raise Inapplicable(f"{x.get_name()} holds {x.type()}, {value!r} does not compare with it")


def as_bound(x: ir.Value, value: Scalar) -> Any:
    """Return `value` as a bound of `x`, as `as_kind`. Raises Inapplicable for text too: it has no bounds in GX."""
    if kind(x) not in ("number", "moment", "day"):
        raise Inapplicable(f"{x.get_name()} holds {x.type()}, which has no bounds")
    return as_kind(x, value)


def _time(x: ir.Value, value: str) -> datetime | date:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Inapplicable(f"{x.get_name()} holds {x.type()}, {value!r} is no ISO date or time") from None
    if kind(x) == "day":
        return moment.date()
    if x.type().timezone is None:
        return moment.replace(tzinfo=None) if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def numeric(x: ir.Value) -> ir.NumericValue:
    """Return `x`. Raises Inapplicable where it holds no numbers."""
    if kind(x) != "number":
        raise Inapplicable(f"{x.get_name()} holds {x.type()}, not numbers")
    return x


def text(x: ir.Value) -> ir.StringValue:
    """Return `x`. Raises Inapplicable where it holds no text."""
    if kind(x) != "text":
        raise Inapplicable(f"{x.get_name()} holds {x.type()}, not text")
    return x


def comparable(a: ir.Value, b: ir.Value) -> None:
    """Raise Inapplicable unless the two columns are of one kind."""
    if kind(a) != kind(b):
        raise Inapplicable(f"{a.type()} and {b.type()} do not compare")


def nan_as_null(t: ir.Table) -> ir.Table:
    """Return the table with NaN as null: GX calls it missing, engines call it larger than all."""
    import ibis

    floats = [name for name, dtype in t.schema().items() if dtype.is_floating()]
    return t.mutate(**{name: t[name].isnan().ifelse(ibis.null(), t[name]) for name in floats}) if floats else t

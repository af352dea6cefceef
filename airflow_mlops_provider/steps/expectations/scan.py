"""Ask every expectation of a table: one aggregate for all counts and figures, one write for the failing rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.validate import ExpectationResult
from airflow_mlops_provider.steps.expectations.base import (
    Inapplicable,
    Kwargs,
    RowExpectation,
    SchemaExpectation,
    StatisticExpectation,
    UniqueExpectation,
)
from airflow_mlops_provider.steps.expectations.suite import Expectation
from airflow_mlops_provider.steps.expectations.values import nan_as_null

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

__all__ = ["FAILED", "ROW_NUMBER", "Scan", "scan"]

ROW_NUMBER = "_row_number"
FAILED = "_failed_rows"
_FLAGGED = "_flagged_rows"


@dataclass(frozen=True)
class Scan:
    """What a scan found. `broken` says which critical claims on the whole table do not hold, each as a sentence."""

    rows: int
    quarantined: int
    reasons: dict[str, int]
    results: tuple[ExpectationResult, ...]
    broken: tuple[str, ...]


@dataclass
class _Plan:
    """Expectations by position: conditions on rows, keys, why one cannot be asked, and which quarantine rows."""

    conditions: dict[int, ir.BooleanValue] = field(default_factory=dict)
    keys: dict[int, UniqueExpectation] = field(default_factory=dict)
    obstacles: dict[int, str] = field(default_factory=dict)
    critical: list[int] = field(default_factory=list)


def scan(con: Backend, table: ir.Table, expectations: tuple[Expectation, ...], lookups: Mapping[str, ir.Table]) -> Scan:
    """Ask all `expectations` of `table`, which numbers its rows in column `_row_number`.

    Rows that break a critical row expectation are left in the temporary table `_failed_rows` of `con`:
    `_row_number`, `_reasons`. Of duplicates the first row that breaks nothing else stays.
    """
    clean = nan_as_null(table)
    plan = _plan(clean, expectations, lookups)
    flagged = _flagged(con, clean, plan)
    numbers = _numbers(flagged, expectations, plan)
    if numbers["failed"]:
        con.create_table(FAILED, _failed(flagged, expectations, plan), temp=True)
    results = tuple(_result(i, one, clean, numbers, plan) for i, one in enumerate(expectations))
    reasons = {expectations[i].label: int(numbers[f"dropped_{i}"]) for i in plan.critical}
    return Scan(
        rows=int(numbers["rows"]),
        quarantined=int(numbers["failed"]),
        reasons={label: count for label, count in reasons.items() if count},
        results=results,
        broken=tuple(_broken(results, expectations)),
    )


def _plan(t: ir.Table, expectations: tuple[Expectation, ...], lookups: Mapping[str, ir.Table]) -> _Plan:
    plan = _Plan()
    for i, one in enumerate(expectations):
        try:
            _ask(plan, i, one.kwargs, t, lookups)
        except Inapplicable as exc:
            plan.obstacles[i] = str(exc)
    asked = plan.conditions.keys() | plan.keys.keys()
    plan.critical = [i for i, one in enumerate(expectations) if i in asked and one.severity == "critical"]
    return plan


def _ask(plan: _Plan, index: int, kwargs: Kwargs, t: ir.Table, lookups: Mapping[str, ir.Table]) -> None:
    missing = [name for name in kwargs.columns() if name not in t.columns]
    if missing:
        raise Inapplicable(f"the table has no column {', '.join(map(repr, missing))}")
    if isinstance(kwargs, StatisticExpectation):
        kwargs.value(t)
    elif isinstance(kwargs, UniqueExpectation):
        plan.keys[index] = kwargs
    elif isinstance(kwargs, RowExpectation):
        plan.conditions[index] = kwargs.considered(t) & kwargs.unexpected(t, lookups).fill_null(False)


def _flagged(con: Backend, t: ir.Table, plan: _Plan) -> ir.Table:
    """Return the table with flags `_u<i>` (unexpected) and, of critical claims on keys, `_d<i>` (to quarantine)."""
    rows = {f"_u{i}": condition for i, condition in plan.conditions.items()}
    # A view: what follows names the flags, and the conditions are compiled once.
    base = flagged = con.create_view(_FLAGGED, t.mutate(**rows), overwrite=True) if rows else t
    for i, kwargs in plan.keys.items():
        group = _duplicates(con, base, i, kwargs, plan)
        same = [flagged[name].identical_to(group[f"_k{n}"]) for n, name in enumerate(kwargs.columns())]
        unexpected, dropped = group["_stays"].notnull(), (group["_stays"] != flagged[ROW_NUMBER]).fill_null(False)
        marks = [unexpected.name(f"_u{i}"), *([dropped.name(f"_d{i}")] if i in plan.critical else [])]
        flagged = flagged.left_join(group, same).select(*(flagged[name] for name in flagged.columns), *marks)
    return flagged


def _duplicates(con: Backend, t: ir.Table, index: int, kwargs: UniqueExpectation, plan: _Plan) -> ir.Table:
    """Return the keys that occur twice, and the row that stays, as a temporary table: few, and joined twice."""
    import ibis

    kept = t.filter(kwargs.considered(t))
    keys = {f"_k{n}": kept[name] for n, name in enumerate(kwargs.columns())}
    rows = kept.select(
        **keys, _row=kept[ROW_NUMBER], _bad=_any(kept, plan, [i for i in plan.critical if i in plan.conditions])
    )
    found = rows.group_by(list(keys)).aggregate(
        _count=rows.count(), _stays=ibis.coalesce(rows["_row"].min(where=~rows["_bad"]), rows["_row"].min())
    )
    return con.create_table(f"_duplicates_{index}", found.filter(found["_count"] > 1).drop("_count"), temp=True)


def _dropped(t: ir.Table, plan: _Plan, index: int) -> ir.BooleanValue:
    # What breaks a condition goes; of duplicates all are unexpected, and one stays.
    return t[f"_d{index}" if index in plan.keys else f"_u{index}"]


def _any(t: ir.Table, plan: _Plan, indices: list[int]) -> ir.BooleanValue:
    import ibis

    return ibis.or_(*(_dropped(t, plan, i) for i in indices)) if indices else ibis.literal(False)


def _numbers(flagged: ir.Table, expectations: tuple[Expectation, ...], plan: _Plan) -> dict[str, Any]:
    """Return every count and figure: one aggregate over the table."""
    asked: dict[str, ir.Scalar] = {
        "rows": flagged.count(),
        "failed": flagged.count(where=_any(flagged, plan, plan.critical)),
    }
    for i, one in enumerate(expectations):
        if i in plan.obstacles:
            continue
        if isinstance(one.kwargs, StatisticExpectation):
            asked[f"value_{i}"] = one.kwargs.value(flagged)
        elif isinstance(one.kwargs, RowExpectation):
            asked[f"unexpected_{i}"] = flagged.count(where=flagged[f"_u{i}"])
            asked[f"considered_{i}"] = flagged.count(where=one.kwargs.considered(flagged))
    asked |= {f"dropped_{i}": flagged.count(where=_dropped(flagged, plan, i)) for i in plan.critical}
    return flagged.aggregate(**asked).to_pyarrow().to_pylist()[0]  # type: ignore[no-any-return]  # one row


def _failed(flagged: ir.Table, expectations: tuple[Expectation, ...], plan: _Plan) -> ir.Table:
    """Return the failing rows' numbers and reasons: the flags first, the array on the few."""
    import ibis

    few = flagged.filter(_any(flagged, plan, plan.critical))
    null = ibis.null().cast("string")
    reasons = [_dropped(few, plan, i).ifelse(expectations[i].label, null) for i in plan.critical]
    return few.select(few[ROW_NUMBER], _reasons=ibis.array(reasons).filter(lambda reason: reason.notnull()))


def _result(index: int, one: Expectation, t: ir.Table, numbers: dict[str, Any], plan: _Plan) -> ExpectationResult:
    kwargs = one.kwargs
    column = ", ".join(kwargs.columns()) or getattr(kwargs, "column", None)
    base = {"expectation": one.type, "column": column, "severity": one.severity}
    if index in plan.obstacles:
        return ExpectationResult(**base, success=False, detail=plan.obstacles[index])
    if isinstance(kwargs, SchemaExpectation):
        fault = kwargs.fault([name for name in t.columns if name != ROW_NUMBER])
        return ExpectationResult(**base, success=not fault, detail=fault)
    if isinstance(kwargs, StatisticExpectation):
        value = numbers[f"value_{index}"]
        observed = _plain(value)
        success = kwargs.meets(value)
        detail = "" if success else f"observed {observed}, expected {kwargs.expected()}"
        return ExpectationResult(
            **base, success=success, observed=observed, element_count=int(numbers["rows"]), detail=detail
        )
    if not isinstance(kwargs, RowExpectation):
        raise TypeError(f"{one.type}: {type(kwargs).__name__} is of no known kind")
    unexpected, considered = int(numbers[f"unexpected_{index}"]), int(numbers[f"considered_{index}"])
    success = considered == 0 or (considered - unexpected) / considered >= kwargs.mostly
    detail = f"{unexpected:,} of {considered:,} rows" if unexpected else ""
    if not success and kwargs.mostly < 1:
        detail += f", mostly {kwargs.mostly} asked"
    return ExpectationResult(**base, success=success, unexpected=unexpected, element_count=considered, detail=detail)


def _broken(results: tuple[ExpectationResult, ...], expectations: tuple[Expectation, ...]) -> list[str]:
    """Return the critical claims that refuse the batch on their own.

    A row expectation does so only where it states a `mostly` below 1 and misses it, or cannot be asked at all:
    without one its success is false as soon as a row fails, and how many may fail is `max_failed`'s to say.
    """
    found = []
    for one, result in zip(expectations, results, strict=True):
        if result.success or one.severity != "critical":
            continue
        stated = isinstance(one.kwargs, RowExpectation) and result.element_count and one.kwargs.mostly == 1
        if not stated:
            found.append(f"{one.label}: {result.detail}")
    return found


def _plain(value: Any) -> float | int | str | None:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value  # type: ignore[no-any-return]  # a number, a text or null

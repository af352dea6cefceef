"""Counts rows of Arrow batches by day and bin or level; memory is that of one batch and of the counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["NEW", "REST", "Counted", "Figures", "Tally", "count"]

# Buckets beside the levels: values past `max_levels` of the reference, and values that it never had.
REST = "<rest>"
NEW = "<new>"


@dataclass(frozen=True)
class Figures:
    """Mean, population std, minimum and maximum of a column's finite values; None without one.

    Mean and std of values near a double's end are not finite.
    """

    mean: float | None = None
    std: float | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Tally:
    """One column: rows by day (None last) and bin or level (nulls last), sums by bin, and the figures of a number."""

    counts: np.ndarray
    sums: Sequence[float] = ()
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True)
class Counted:
    """All columns over the same `rows` and `days`, which are sorted."""

    rows: int
    days: Sequence[date]
    columns: Mapping[str, Tally]


def count(
    batches: pa.RecordBatchReader, edges: Mapping[str, Sequence[float]], levels: Mapping[str, Sequence[str]]
) -> Counted:
    """Count batches of the column `day`, then of numbers named as `edges`, then of texts named as `levels`.

    A value on an edge falls left of it; NaN and the infinite count as nulls. A text that is not in its levels falls
    into the bucket that ends them, if that is REST or NEW.
    """
    columns: dict[str, _Numbers | _Texts] = {
        **{name: _Numbers(given) for name, given in edges.items()},
        **{name: _Texts(given) for name, given in levels.items()},
    }
    place: dict[date | None, int] = {}
    rows = np.zeros(0, np.int64)
    for batch in batches:
        encoded = batch.column(0).dictionary_encode("encode")
        found = [place.setdefault(day, len(place)) for day in encoded.dictionary.to_pylist()]
        day = np.from_dlpack(encoded.indices).astype(np.int64)
        rows = _grown(rows, len(place))
        rows[found] += np.bincount(day, minlength=len(found))
        for column, values in zip(columns.values(), batch.columns[1:], strict=True):
            column.counts = _grown(column.counts, len(place))
            column.counts[found] += column.add(values, day, len(found))
    days = sorted(day for day in place if day is not None)
    order = [place[day] for day in days] + ([place[None]] if None in place else [])
    return Counted(int(rows.sum()), days, {name: column.tally(rows, order) for name, column in columns.items()})


class _Numbers:
    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self._bins = len(edges) + 1
        self._sums = np.zeros(self._bins)
        self._moments = (0, 0.0, 0.0)
        self._low, self._high = math.inf, -math.inf
        self.counts = np.zeros((0, self._bins), np.int64)

    def add(self, column: pa.Array, day: np.ndarray, days: int) -> np.ndarray:
        """Take the values and return their counts by day and bin."""
        values = np.from_dlpack(column.fill_null(math.nan) if column.null_count else column)
        low, high = _range(values)
        if not math.isfinite(low) or not math.isfinite(high):
            finite = np.isfinite(values)
            values, day = values[finite], day[finite]
            low, high = _range(values)
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._moments = _added(self._moments, values)
        bins = _bins(values, self._edges)
        self._sums += np.bincount(bins, values, self._bins)
        return _crossed(day, days, bins, self._bins)

    def tally(self, rows: np.ndarray, order: list[int]) -> Tally:
        size, mean, square = self._moments
        std = math.sqrt(square / size) if size else None
        figures = Figures(mean, std, self._low, self._high) if size else Figures()
        return Tally(_with_nulls(self.counts, rows, order), self._sums.tolist(), figures)


class _Texts:
    def __init__(self, levels: Sequence[str]) -> None:
        self._size = len(levels)
        self._known = list(levels[:-1] if levels and levels[-1] in (REST, NEW) else levels)
        self.counts = np.zeros((0, self._size), np.int64)

    def add(self, column: pa.Array, day: np.ndarray, days: int) -> np.ndarray:
        """Take the values and return their counts by day and level."""
        found = pc.index_in(column, value_set=pa.array(self._known, column.type))
        levels = np.from_dlpack(found.fill_null(len(self._known)))
        counted = np.from_dlpack(column.is_valid().cast(pa.uint8())).view(bool) & (levels < self._size)
        if not counted.all():
            levels, day = levels[counted], day[counted]
        return _crossed(day, days, levels, self._size)

    def tally(self, rows: np.ndarray, order: list[int]) -> Tally:
        return Tally(_with_nulls(self.counts, rows, order))


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(values.min(initial=math.inf)), float(values.max(initial=-math.inf))


def _bins(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    if len(edges) > np.iinfo(np.uint8).max:
        return np.searchsorted(np.asarray(edges), values)
    # One pass for each of few edges is vectorized, and faster than a search for each value, which is not.
    bins = np.zeros(len(values), np.uint8)
    for edge in edges:
        bins += (values > edge).view(np.uint8)
    return bins


def _crossed(day: np.ndarray, days: int, places: np.ndarray, size: int) -> np.ndarray:
    """Return the rows of each of `days` days and `size` places."""
    codes = day * size + places if days > 1 else places
    return np.bincount(codes, minlength=days * size).reshape(days, size)


def _added(moments: tuple[int, float, float], values: np.ndarray) -> tuple[int, float, float]:
    """Add values to (count, mean, sum of squared distances from it), by Chan, Golub & LeVeque (1979)."""
    if not len(values):
        return moments
    before, mean, square = moments
    with np.errstate(over="ignore", invalid="ignore"):
        own = float(values.mean())
        away = values - own
        # Not by BLAS, whose threads cost more than they do here.
        square += float(np.einsum("i,i", away, away))
    size, apart = before + len(values), own - mean
    square += apart * apart * before * len(values) / size
    return size, mean + apart * len(values) / size, square


def _grown(table: np.ndarray, rows: int) -> np.ndarray:
    missing = rows - len(table)
    return np.concatenate([table, np.zeros((missing, *table.shape[1:]), np.int64)]) if missing else table


def _with_nulls(counts: np.ndarray, rows: np.ndarray, order: list[int]) -> np.ndarray:
    return np.column_stack([counts, rows - counts.sum(axis=1)])[order]

"""Add the profiles of parts up to the profile of the whole."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import DataError

__all__ = ["merge"]


def merge(profiles: Sequence[Profile]) -> Profile:
    """Return the profile of all rows that `profiles`, of hours or partitions, were counted on.

    The parts are counted in the same bins and levels: each by `profile_like` against one reference, or the
    first by `build_profile` and the others against it; then counts, nulls, blocks, minimum and maximum are
    those of one scan, and sums, mean and std are to rounding, in whatever order and grouping. A day that parts
    share is one block. A profile without a row adds nothing.

    Mean and std are combined by Chan, Golub & LeVeque (1979), which needs the rows, mean and std of each part and
    does not cancel as sums of squares do. Raises DataError without a profile, or where columns, bins or levels
    differ.
    """
    if not profiles:
        raise DataError("no profile to merge; give the parts of one table")
    parts = [profile for profile in profiles if profile.rows] or list(profiles[:1])
    names = [column.name for column in parts[0].columns]
    for part in parts:
        if other := sorted({column.name for column in part.columns} ^ set(names)):
            raise DataError(f"profiles of different columns do not merge: not all have {', '.join(other)}")
    days = sorted({day for part in parts for day in part.block_ids})
    return Profile(
        rows=sum(part.rows for part in parts),
        columns=tuple(_merged(name, parts, days) for name in names),
        block_ids=tuple(days),
        start=min((part.start for part in parts if part.start is not None), default=None),
        end=max((part.end for part in parts if part.end is not None), default=None),
    )


def _merged(name: str, parts: Sequence[Profile], days: Sequence[str]) -> ColumnProfile:
    columns = [next(column for column in part.columns if column.name == name) for part in parts]
    levels = max((column.levels for column in columns), key=len)
    bins = {(c.kind, c.edges, levels[: len(c.levels)] == c.levels) for c in columns}
    if len(bins) > 1 or any(len(levels) - len(c.levels) > 1 for c in columns):
        raise DataError(f"{name}: the parts are not counted in the same bins; count each by one reference")
    size = max(len(column.counts) for column in columns)
    values = [value for column in columns for value in (column.minimum, column.maximum) if value is not None]
    return columns[0].model_copy(
        update={
            "levels": levels,
            "counts": _added([_wide(column.counts, size) for column in columns]),
            "sums": tuple(math.fsum(sums) for sums in zip(*(column.sums for column in columns), strict=True)),
            "nulls": sum(column.nulls for column in columns),
            "minimum": min(values, default=None),
            "maximum": max(values, default=None),
            "blocks": _blocks(parts, columns, days, size),
            **_moments(columns),
        }
    )


def _moments(columns: Sequence[ColumnProfile]) -> dict[str, Any]:
    """Return mean and population std of all values."""
    parts = [(sum(c.counts), c.mean, c.std) for c in columns if c.mean is not None and c.std is not None]
    if not parts:
        return {"mean": None, "std": None}
    rows = sum(count for count, _, _ in parts)
    mean = math.fsum(count / rows * part for count, part, _ in parts)
    variance = math.fsum(count / rows * (std**2 + (part - mean) ** 2) for count, part, std in parts)
    return {"mean": mean, "std": math.sqrt(variance)}


def _blocks(
    parts: Sequence[Profile], columns: Sequence[ColumnProfile], days: Sequence[str], size: int
) -> tuple[tuple[int, ...], ...]:
    empty = (0,) * (size + 1)
    found = dict.fromkeys(days, empty)
    for part, column in zip(parts, columns, strict=True):
        # A column that was retyped has no blocks although its profile has days.
        for day, row in zip(part.block_ids if column.blocks else (), column.blocks, strict=True):
            found[day] = _added([found[day], (*_wide(row[:-1], size), row[-1])])
    return tuple(found.values()) if any(column.blocks for column in columns) else ()


def _wide(counts: tuple[int, ...], size: int) -> tuple[int, ...]:
    # A reference has no count for the bucket of new levels, which ends the counts of what is compared with it.
    return (*counts, *[0] * (size - len(counts)))


def _added(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))

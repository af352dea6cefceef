"""When a distance is drift, and when it is told: levels from the reference itself.

The Jensen-Shannon distance decides for every column: it has one unit for numbers and categories, lies in
[0, 1], and sees nulls. On the flights of 2013, January to March against each later month, it kept carrier,
origin and distance quiet in all nine and found the temperature of May to October; Wasserstein, which is
reported too, called distance drifted in eight of nine, and knows no nulls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from airflow_mlops_provider.contracts.monitor import ColumnDrift
from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.distances import Measures, hellinger, jensen_shannon, measure, psi
from airflow_mlops_provider.steps.family import family_levels
from airflow_mlops_provider.steps.nulls import (
    NEW_LEVELS,
    NULLS,
    SMALLEST_EFFECT,
    VALUES,
    Null,
    block_nulls,
    nulls_of,
    split,
)
from airflow_mlops_provider.steps.seasons import moves_with_the_season
from airflow_mlops_provider.steps.shares import shares

__all__ = ["ALL", "SMALLEST_EFFECT", "drift", "levels"]

# In `page`: every column.
ALL = "*"

Counts = NDArray[np.int64]
# (column, VALUES or NULLS)
_Key: TypeAlias = tuple[str, str]


def levels(profile: Profile, window_blocks: int, false_alarms: float) -> dict[str, float | None]:
    """Return the Jensen-Shannon distance of each column that a window passes at the rate `false_alarms`.

    The null distribution comes from the profile's own blocks: each contiguous window of `window_blocks` days
    against all other days, on the log of the distance. Windows overlap, so w of D days count as k = D / w
    windows with 2k - 1 degrees of freedom, and the level is exp(mean + t * std * sqrt(1 + 1/k)): wider as
    windows get fewer. Rows of a day are not independent, hence no test of rows.

    A window longer than a third of the reference is cut to a third: shorter windows differ more, which errs
    towards silence. None where there is nothing to compare (`window_blocks` 0, or fewer than 6 days with rows).
    Levels are kept between `SMALLEST_EFFECT` and 0.9, or what the windows themselves reach.

    Measured at 0.01 on 500 simulated streams a case (20 bins, day effects with a correlation of neighbouring
    days of 0, 0.7 and 0.95, references of 20 to 300 days, windows of 1 to 30): 0 to 0.02 false alarms; 0.026 in
    30 days at 0.95; up to 0.044 with heavy-tailed effects and windows of one day.
    """
    nulls = {column.name: block_nulls(column, window_blocks) for column in profile.columns}
    return {name: found[VALUES].level(false_alarms) if found else None for name, found in nulls.items()}


def drift(
    reference: Profile,
    current: Profile,
    *,
    false_alarms: float,
    page: Collection[str] = (),
    false_pages: float = 0.01,
    seasonal: Collection[str] = (),
) -> tuple[ColumnDrift, ...]:
    """Return the drift of each column of `reference`, then of the columns that only `current` has.

    `current` comes from `profile_like`. A column is drifted where its Jensen-Shannon distance is over the level of
    a window of as many days and rows; where the distance of its null rate alone, or of the share of its new
    levels, is over its own such level, since a restless column would hide them; and where it is missing, new, or
    turned from one kind to another. `detail` says what. Without days in the current rows, or with fewer than 6 in
    the reference, the level is that of independent rows, which real rows are not: give days where there are any.

    A drifted column that is watched is named where it is over its page level too: the watched columns together
    pass theirs at the rate `false_pages`. Watched are the columns of `page`, or all, where `page` is empty or
    holds "*". Of all of them those of `seasonal`, those that `moves_with_the_season` finds (unless `page` has
    their name) are named for their nulls alone. Where `page` is given, what is named is paged.

    Raises DataError if a side has no row, ConfigError if `page` or `seasonal` names a column that neither has.
    """
    if not reference.rows or not current.rows:
        raise DataError(f"no drift without rows: {reference.rows} in the reference and {current.rows} now")
    then, now = ({c.name: c for c in profile.columns} for profile in (reference, current))
    _refuse_unknown({"page": set(page) - {ALL}, "seasonal": set(seasonal)}, then.keys(), now.keys())
    watched = set(page) if page and ALL not in page else then.keys() | now.keys()
    same = [column for name, column in then.items() if name in now and now[name].kind == column.kind]
    nulls = {c.name: nulls_of(c, len(current.block_ids), current.rows) for c in same}
    moving = {c.name for c in same if c.name in seasonal or (c.name not in page and moves_with_the_season(c))}
    page_levels = _page_levels(nulls, watched, moving, false_pages)
    rows = [
        _compared(c, now[name], nulls[name], page_levels, false_alarms) if name in nulls else _changed(c, now.get(name))
        for name, c in then.items()
    ]
    rows += [_changed(None, column) for name, column in now.items() if name not in then]
    named = {row.column for row in rows if row.column in watched and (row.named or row.column not in nulls)}
    return tuple(
        row.model_copy(
            update={
                "seasonal": row.column in moving,
                "named": row.column in named,
                "paged": bool(page) and row.column in named,
            }
        )
        for row in rows
    )


def _refuse_unknown(given: Mapping[str, Set[str]], then: Set[str], now: Set[str]) -> None:
    for key, names in given.items():
        if unknown := sorted(names - then - now):
            raise ConfigError(f"{key}: no column {', '.join(unknown)}; there are {', '.join(sorted(then))}")


def _page_levels(
    nulls: Mapping[str, Mapping[str, Null]], watched: Collection[str], moving: Collection[str], rate: float
) -> dict[_Key, float]:
    keyed = {(name, kind): null for name, found in nulls.items() for kind, null in found.items()}
    # The values of a column that moves with the season tell nothing of how others spread.
    steady = {key: null for key, null in keyed.items() if key[0] not in moving or key[1] == NULLS}
    return family_levels(steady, [key for key in steady if key[0] in watched], rate)


def _compared(
    reference: ColumnProfile,
    current: ColumnProfile,
    nulls: Mapping[str, Null],
    page_levels: Mapping[_Key, float],
    false_alarms: float,
) -> ColumnDrift:
    name, found = reference.name, measure(reference, current)
    distances = _distances(found, reference, current)
    bounds = {kind: nulls[kind].level(false_alarms) for kind in distances}
    over = [kind for kind, distance in distances.items() if distance > bounds[kind]]
    # A page is never the lesser alarm, also where a column's own spread is wider than the one it borrows.
    limits = {kind: max(page_levels[name, kind], bounds[kind]) for kind in distances if (name, kind) in page_levels}
    said = {
        VALUES: f"Jensen-Shannon {found.jensen_shannon:.3f} over {bounds[VALUES]:.3f}",
        NULLS: f"nulls {_null_rate(reference):.2%} before, {_null_rate(current):.2%} now",
        NEW_LEVELS: f"{found.new_levels or 0:.2%} in new levels",
    }
    return ColumnDrift(
        column=name,
        **found._asdict(),
        null_rate=_null_rate(current),
        reference_null_rate=_null_rate(reference),
        level=bounds[VALUES],
        page_level=limits.get(VALUES),
        null=nulls[VALUES].by,
        drifted=bool(over),
        named=any(distances[kind] > limit for kind, limit in limits.items()),
        shares=shares(reference, current) if over else None,
        detail="; ".join(said[kind] for kind in over),
    )


def _distances(found: Measures, reference: ColumnProfile, current: ColumnProfile) -> dict[str, float]:
    """Return the distance of each kind that is watched."""
    nulls = jensen_shannon(split(_totals(reference)), split(_totals(current)))
    distances = {VALUES: found.jensen_shannon, NULLS: nulls}
    if found.new_levels is not None:
        distances[NEW_LEVELS] = jensen_shannon([1, 0], [1 - found.new_levels, found.new_levels])
    return distances


def _changed(reference: ColumnProfile | None, current: ColumnProfile | None) -> ColumnDrift:
    """The values of one side have no place in the other: a column that is not there is all nulls."""
    before, after = (1.0 if side is None else _null_rate(side) for side in (reference, current))
    then, now = np.array([1 - before, 0.0, before]), np.array([0.0, 1 - after, after])
    kinds = {"before": reference and reference.kind, "now": current and current.kind}
    return ColumnDrift(
        column=next(side.name for side in (reference, current) if side is not None),
        psi=psi(then, now),
        jensen_shannon=jensen_shannon(then, now),
        hellinger=hellinger(then, now),
        null_rate=after,
        reference_null_rate=before,
        drifted=True,
        detail=", ".join(f"{kind or 'missing'} {when}" for when, kind in kinds.items()),
    )


def _totals(column: ColumnProfile) -> Counts:
    return np.array([*column.counts, column.nulls], dtype=np.int64)


def _null_rate(column: ColumnProfile) -> float:
    return column.nulls / max(sum(column.counts) + column.nulls, 1)

"""One rate of false alarms for many distances together."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scipy import special

from airflow_mlops_provider.steps.nulls import SMALLEST_EFFECT, Null

__all__ = ["family_levels"]

# Fewer sizes tell too little of how sizes vary to borrow from one another.
_FEWEST_POOLED = 10
# Squared effects up to this, a tenth of the smallest that is worth an alarm, neither tell of the others nor are told.
_NOTHING = (SMALLEST_EFFECT / 10) ** 2

Key = TypeVar("Key", bound=Hashable)


def family_levels(nulls: Mapping[Key, Null], watched: Sequence[Key], rate: float) -> dict[Key, float]:
    """Return the distance of each of `watched` that any of them passes in a window at `rate`.

    A distance has two parts, whose squares add up: what rows of that number give by chance, and what days do,
    which is taken as one normal effect of the size that the reference's windows show, so that a level is that
    size times a quantile of Student's t. Each distance gets its share of the rate (Bonferroni), which holds
    whatever their dependence. With a rate so small and few windows a size known from one's own windows alone
    would put the level out of reach, so the sizes of all of `nulls` are moderated: each is drawn to their common
    one as far as they agree (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1), 3).
    Where days move all columns at once, a window's largest effect tells more: what that passes at `rate`, in
    the same windows, is the least that counts.
    """
    share = rate / max(len(watched), 1)
    windowed = {key: null for key, null in nulls.items() if null.by == "blocks"}
    sizes, degrees = _moderated(windowed)
    moving = {key: windowed[key] for key in watched if sizes.get(key, 0.0) > 0}
    times = max(float(special.stdtrit(degrees, 1 - share / 2)), _joint(moving, sizes, rate))
    return {key: nulls[key].passed(share, times * sizes.get(key, 0.0)) for key in watched}


def _moderated(nulls: Mapping[Key, Null]) -> tuple[dict[Key, float], float]:
    """Return the sizes of the days' effects and their degrees of freedom, by the moments of their logarithm."""
    own = {key: float(null.effects.mean()) for key, null in nulls.items()}
    degrees = next((null.degrees for null in nulls.values()), math.inf)
    logs = np.log([square for square in own.values() if square > _NOTHING])
    if len(logs) < _FEWEST_POOLED:
        return {key: math.sqrt(square) for key, square in own.items()}, degrees
    centred = logs - special.digamma(degrees / 2) + math.log(degrees / 2)
    extra = float(centred.var(ddof=1) - special.polygamma(1, degrees / 2))
    prior = 2 * _inverse_trigamma(extra) if extra > 0 else math.inf
    shift = special.digamma(prior / 2) - math.log(prior / 2) if math.isfinite(prior) else 0.0
    common = math.exp(float(centred.mean()) + shift)
    weight = degrees / (degrees + prior)
    pooled = {
        key: math.sqrt((1 - weight) * common + weight * square if square > _NOTHING else square)
        for key, square in own.items()
    }
    # No more than all of them together have.
    return pooled, min(degrees + prior, degrees * len(logs))


def _joint(nulls: Mapping[Key, Null], sizes: Mapping[Key, float], rate: float) -> float:
    if not nulls:
        return 0.0
    largest = np.sqrt(np.max([null.effects / sizes[key] ** 2 for key, null in nulls.items()], axis=0))
    first = next(iter(nulls.values()))
    above = special.stdtrit(first.degrees, 1 - rate) * math.sqrt(1 + 1 / first.windows)
    return float(largest.mean() + above * largest.std(ddof=1))


def _inverse_trigamma(value: float) -> float:
    """Solve trigamma(x) = value by Newton's steps on 1 / trigamma, which is nearly straight (Smyth 2004)."""
    found = 0.5 + 1 / value
    for _ in range(20):
        trigamma = float(special.polygamma(1, found))
        found += trigamma * (1 - trigamma / value) / float(special.polygamma(2, found))
    return found

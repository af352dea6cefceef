"""A policy's conditions on what was measured: which figures crossed their bounds, and how that is said."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
from scipy import special

from airflow_mlops_provider.contracts.decide import Condition, Observation
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.steps.metrics import Influence

__all__ = ["Figures", "crossings", "figures", "say"]

# Chance is judged over so many days, the more the surer and the fewer the sooner. Few days tell little of how they
# resemble their neighbours: what is found in fewer than these has to be the surer, by its share of `alpha`.
_WINDOWS = (timedelta(days=7), timedelta(days=14), timedelta(days=28))
_FEWEST_DAYS = 7
_SHARES = ((14, 0.1), (28, 0.3))
_REST = 0.6


class Figures(dict[str, MetricEstimate]):
    """What conditions are judged on, by name; `looks` are the days of the last 28 on which they were."""

    looks = 1


def figures(judged: Sequence[Observation], when: Mapping[str, Condition]) -> Figures:
    """Return the figures that conditions may name, of the last of `judged` (one champion's batches in data time).

    A metric whose condition has `alpha` is that of the batches of the last 7, 14 or 28 days together, whichever says
    most against the bound.
    """
    newest, spans = judged[-1], _spans(judged)
    found = Figures(newest.metrics)
    found.looks = len({_day(seen) for seen in spans[-1]})
    for name in found.keys() & {name for name, bounds in when.items() if bounds.alpha is not None}:
        seen = [_together(name, [each for each in span if name in each.metrics]) for span in spans]
        found[name] = max(seen, key=lambda estimate: _evidence(estimate, when[name], found.looks))
    counts = {"drifted_columns": len(newest.drifted), "named_columns": len(newest.named)}
    found |= {name: MetricEstimate(value=count, rows=newest.labelled) for name, count in counts.items()}
    if newest.max_effect is not None:
        found["max_effect"] = MetricEstimate(value=newest.max_effect, rows=newest.labelled)
    return found


def crossings(found: Figures, when: Mapping[str, Condition]) -> dict[str, Condition]:
    """Return the conditions whose figure is beyond a bound, with `alpha` by more than chance."""
    return {
        name: bounds for name, bounds in when.items() if name in found and _crossed(found[name], bounds, found.looks)
    }


def say(name: str, estimate: MetricEstimate, bounds: Condition) -> str:
    """Return a figure with what is allowed, for a reason."""
    kept = {"at most": bounds.above, "at least": bounds.below, "at most +-": bounds.abs_above}
    allowed = " and ".join(f"{word} {bound:g}" for word, bound in kept.items() if bound is not None)
    error = "" if estimate.se is None else f" (se {estimate.se:.4f})"
    value = f"{estimate.value:g}" if name.endswith("_columns") else f"{estimate.value:+.4f}"
    # Where rows have no time each of them is a block.
    unit = "rows" if estimate.blocks == estimate.rows else "days"
    sure = "" if bounds.alpha is None else f" but for chance at {bounds.alpha:g}, in {estimate.blocks} {unit}"
    return f"{name} {value}{error}, allowed {allowed or 'anything'}{sure}"


def _spans(judged: Sequence[Observation]) -> list[list[Observation]]:
    """Return the last batches of each window."""
    end = judged[-1].end
    return [[seen for seen in judged if seen.end > end - window] for window in _WINDOWS]


def _crossed(estimate: MetricEstimate, bounds: Condition, looks: int) -> bool:
    if bounds.alpha is None:
        return _beyond(estimate, bounds) > 0
    return _evidence(estimate, bounds, looks) > -math.log(bounds.alpha)


def _beyond(estimate: MetricEstimate, bounds: Condition) -> float:
    """Return how far a figure is beyond its bounds, in its unit; less than 0 within them."""
    over = [
        estimate.value - bounds.above if bounds.above is not None else None,
        bounds.below - estimate.value if bounds.below is not None else None,
        abs(estimate.value) - bounds.abs_above if bounds.abs_above is not None else None,
    ]
    return max((by for by in over if by is not None), default=-math.inf)


def _evidence(estimate: MetricEstimate, bounds: Condition, looks: int) -> float:
    """Return minus the logarithm of the chance to be as far beyond the bounds once in 28 days, with so many `looks`.

    It is 0 of too few days, as nobody knows.
    """
    if estimate.se is None or estimate.blocks < _FEWEST_DAYS:
        return 0.0
    degrees, beyond = math.inf if estimate.df is None else estimate.df, _beyond(estimate, bounds)
    # Days that are all alike leave nothing to chance.
    far = beyond / estimate.se if estimate.se else math.copysign(math.inf, beyond)
    chance = float(special.stdtr(degrees, -far))
    share = next((share for days, share in _SHARES if estimate.blocks < days), _REST if looks > 1 else 1.0)
    return -math.log(max(chance / share * looks, sys.float_info.min))


def _together(name: str, batches: Sequence[Observation]) -> MetricEstimate:
    """Return the mean of a metric over batches, by rows, with its standard error.

    Those that have an error of their own count alone, and their errors add up, with Satterthwaite's degrees of freedom
    (1946, Biometrics 2). Batches of a day or less have none: then their local days are the blocks.
    """
    with_error = [seen for seen in batches if seen.metrics[name].se is not None]
    parts = [seen.metrics[name] for seen in with_error or batches]
    if len(parts) == 1:
        return parts[0]
    values, rows = (np.array([getattr(part, key) for part in parts], np.float64) for key in ("value", "rows"))
    weights = rows / rows.sum()
    mean, count = float(weights @ values), int(rows.sum())
    if not with_error:
        _, day = np.unique([_day(seen) for seen in batches], return_inverse=True)
        by_day = np.bincount(day, weights * (values - mean)).astype(np.float64)
        return Influence(mean, by_day, count).estimate()
    errors = (weights * np.array([part.se for part in parts])) ** 2
    degrees = np.array([math.inf if part.df is None else part.df for part in parts])
    spread = float((errors**2 / degrees).sum())
    df = float(errors.sum()) ** 2 / spread if spread else None
    blocks = sum(part.blocks for part in parts)
    return MetricEstimate(value=mean, se=math.sqrt(errors.sum()), df=df, rows=count, blocks=blocks)


def _day(seen: Observation) -> int:
    """Return the local day that a batch ends in, as a number; a day ends at midnight, which is the next one's."""
    return (seen.end.astimezone(ZoneInfo(seen.timezone)) - timedelta(microseconds=1)).toordinal()

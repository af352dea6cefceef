"""A policy's conditions on what was measured: which figures crossed their bounds, and how that is said."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from scipy import special

from airflow_mlops_provider.contracts.decide import Condition, Observation
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.steps.metrics import Influence

__all__ = ["Figure", "crossings", "figures", "say"]

# Chance is judged over so many days, the more the surer and the fewer the sooner; of one day nobody knows its size.
_WINDOWS = (timedelta(days=7), timedelta(days=14), timedelta(days=28))
_FEWEST_BLOCKS = 7


class Figure(NamedTuple):
    """What a condition is judged on, found in one of so many `looks`."""

    estimate: MetricEstimate
    looks: int = 1


def figures(judged: Sequence[Observation], when: Mapping[str, Condition]) -> dict[str, Figure]:
    """Return the figures that conditions may name, of the last of `judged` (one champion's batches in data time).

    A metric whose condition has `alpha` is that of the batches of the last 7, 14 or 28 days together, whichever says
    most against the bound.
    """
    newest = judged[-1]
    spans = _spans(judged)
    found = {name: Figure(estimate) for name, estimate in newest.metrics.items()}
    for name in found.keys() & {name for name, bounds in when.items() if bounds.alpha is not None}:
        seen = [_together([each.metrics[name] for each in span if name in each.metrics]) for span in spans]
        most = max(seen, key=lambda estimate: _evidence(estimate, when[name]))
        found[name] = Figure(most, len(seen))
    counts = {"drifted_columns": len(newest.drifted), "named_columns": len(newest.named)}
    found |= {name: Figure(MetricEstimate(value=count, rows=newest.labelled)) for name, count in counts.items()}
    if newest.max_effect is not None:
        found["max_effect"] = Figure(MetricEstimate(value=newest.max_effect, rows=newest.labelled))
    return found


def crossings(found: Mapping[str, Figure], when: Mapping[str, Condition]) -> dict[str, Condition]:
    """Return the conditions whose figure is beyond a bound, with `alpha` by more than chance."""
    return {name: bounds for name, bounds in when.items() if name in found and _crossed(found[name], bounds)}


def say(name: str, figure: Figure, bounds: Condition) -> str:
    """Return a figure with what is allowed, for a reason."""
    kept = {"at most": bounds.above, "at least": bounds.below, "at most +-": bounds.abs_above}
    allowed = " and ".join(f"{word} {bound:g}" for word, bound in kept.items() if bound is not None)
    estimate = figure.estimate
    error = "" if estimate.se is None else f" (se {estimate.se:.4f})"
    value = f"{estimate.value:g}" if name.endswith("_columns") else f"{estimate.value:+.4f}"
    sure = "" if bounds.alpha is None else f" but for chance at {bounds.alpha:g}, in {estimate.blocks} days"
    return f"{name} {value}{error}, allowed {allowed or 'anything'}{sure}"


def _spans(judged: Sequence[Observation]) -> list[list[Observation]]:
    """Return the last batches of each window; one that has no more of them than a shorter one is left out."""
    end = judged[-1].end
    spans = [[seen for seen in judged if seen.end > end - window] for window in _WINDOWS]
    return [span for i, span in enumerate(spans) if i == 0 or len(span) > len(spans[i - 1])]


def _crossed(figure: Figure, bounds: Condition) -> bool:
    if bounds.alpha is None:
        return _beyond(figure.estimate, bounds) > 0
    return _evidence(figure.estimate, bounds) > -math.log(bounds.alpha / figure.looks)


def _beyond(estimate: MetricEstimate, bounds: Condition) -> float:
    """Return how far a figure is beyond its bounds, in its unit; less than 0 within them."""
    over = [
        estimate.value - bounds.above if bounds.above is not None else None,
        bounds.below - estimate.value if bounds.below is not None else None,
        abs(estimate.value) - bounds.abs_above if bounds.abs_above is not None else None,
    ]
    return max((by for by in over if by is not None), default=-math.inf)


def _evidence(estimate: MetricEstimate, bounds: Condition) -> float:
    """Return minus the logarithm of the chance to be as far beyond the bounds; 0 of too few days, as nobody knows."""
    if not estimate.se or estimate.blocks < _FEWEST_BLOCKS:
        return 0.0
    degrees = math.inf if estimate.df is None else estimate.df
    return -math.log(max(float(special.stdtr(degrees, -_beyond(estimate, bounds) / estimate.se)), sys.float_info.min))


def _together(parts: Sequence[MetricEstimate]) -> MetricEstimate:
    """Return the mean of a metric over batches, by rows, with its standard error.

    Where each batch has an error of its own the errors add up, with Satterthwaite's degrees of freedom (1946,
    Biometrics 2); batches of a day have none, and are the blocks themselves.
    """
    if len(parts) == 1:
        return parts[0]
    values = np.array([part.value for part in parts])
    rows = np.array([part.rows for part in parts], np.float64)
    weights = rows / rows.sum()
    mean, count = float(weights @ values), int(rows.sum())
    if any(part.se is None for part in parts):
        return Influence(mean, weights * (values - mean), count).estimate()
    errors = (weights * np.array([part.se for part in parts])) ** 2
    degrees = np.array([math.inf if part.df is None else part.df for part in parts])
    spread = float((errors**2 / degrees).sum())
    df = float(errors.sum()) ** 2 / spread if spread else None
    return MetricEstimate(
        value=mean, se=math.sqrt(errors.sum()), df=df, rows=count, blocks=sum(part.blocks for part in parts)
    )

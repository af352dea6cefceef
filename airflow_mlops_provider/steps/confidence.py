"""What the predictions themselves say of their worth before any outcome is there."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.steps.metrics import estimate

__all__ = ["ESTIMABLE", "expected"]

ESTIMABLE = ("log_loss", "brier", "roc_auc")

Floats = NDArray[np.float64]


def expected(metrics: Collection[str], p: ArrayLike, days: ArrayLike) -> dict[str, MetricEstimate]:
    """Return what each of `metrics` would be if each row's outcome were 1 with its probability `p`, shape (n,).

    Confidence-based performance estimation: it needs calibrated probabilities, sees covariate shift, and is blind to
    a change of what the outcomes depend on. Metrics that are not in `ESTIMABLE` are left out, and all of them where a
    value of `p` is no probability. `days` as in `metrics.estimate`; roc_auc has no standard error.
    Source: Bialek et al. (2024), Estimating Model Performance Under Covariate Shift Without Labels, arXiv:2401.08348.
    """
    guess = np.asarray(p, np.float64)
    if not guess.size or not ((guess >= 0) & (guess <= 1)).all():
        return {}
    entropy = special.entr(guess) + special.entr(1 - guess)
    means = {"log_loss": entropy, "brier": guess * (1 - guess)}
    # A mean of rows with its day blocks: the mean absolute deviation from 0 is one.
    found = {name: estimate("mae", np.zeros_like(guess), means[name], days) for name in means if name in metrics}
    if "roc_auc" in metrics and (area := _area(guess)) is not None:
        found["roc_auc"] = MetricEstimate(value=area, rows=guess.size, blocks=np.unique(np.asarray(days)).size)
    return found


def _area(p: Floats) -> float | None:
    """The share of pairs of two rows, weighted with the chance of one positive and one not, that are in order."""
    ranked = np.sort(p)
    below = np.concatenate([[0.0], np.cumsum(1 - ranked)])
    left, right = below[np.searchsorted(ranked, ranked)], below[np.searchsorted(ranked, ranked, side="right")]
    itself = float(np.sum(ranked * (1 - ranked)))
    pairs = float(ranked.sum() * below[-1]) - itself
    return (float(np.sum(ranked * (left + right))) / 2 - itself / 2) / pairs if pairs > 0 else None

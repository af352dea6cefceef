"""Metrics with a standard error from day blocks: rows of a day are not independent, nor are neighbouring days."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.exceptions import ConfigError, DataError, MissingExtraError

__all__ = ["Influence", "daily_difference", "defined", "estimate", "influence", "lower_is_better", "row_loss"]

Floats = NDArray[np.float64]

_LOWER = frozenset({"log_loss", "brier", "calibration_gap", "mae", "rmse"})
_BINARY = frozenset({"log_loss", "brier", "calibration_gap", "calibration_slope", "roc_auc"})
_PRECISION = re.compile(r"precision_at_(\d{1,2}(?:\.\d{1,4})?)_percent")
# A probability of exactly 0 or 1 would cost an infinite loss; scikit-learn's bound for float64.
_EPS = float(np.finfo(np.float64).eps)
# scikit-learn's scorers are evaluated once without each of so many groups of days at most.
_MOST_GROUPS = 200
# Newton's method on a logistic regression of two parameters settles in about six.
_MOST_ROUNDS = 50
_SETTLED = 1e-8


@dataclass(frozen=True, slots=True)
class Influence:
    """A metric's value and what each day, in order, adds to its deviation from the truth (shape (days,))."""

    value: float
    days: Floats
    rows: int

    def __sub__(self, other: Influence) -> Influence:
        """The difference of two metrics on the same rows."""
        return Influence(self.value - other.value, self.days - other.days, self.rows)

    def spread(self) -> tuple[float, float] | None:
        """Return (standard error, degrees of freedom); None for fewer than 2 days.

        The variance of a sum of daily parts u with correlation r between neighbours is D var(u) f with
        f = 1 + 2r. The estimated r is raised by its bias (1 + 4r) / D (Marriott & Pope 1954), counts only
        upwards, and leaves D / f - 1 degrees of freedom; the mean removed from u costs the variance a share
        f / D, which is given back (f is at most D / 2).
        """
        count = self.days.size
        if count < 2:
            return None
        parts = self.days - self.days.mean()
        total = float(parts @ parts)
        if total == 0.0:
            return 0.0, count - 1.0
        r = float(parts[1:] @ parts[:-1]) / total * count / (count - 1)
        factor = min(1 + 2 * max(r + (1 + 4 * max(r, 0.0)) / count, 0.0), count / 2)
        return float(np.sqrt(total * factor / (1 - factor / count))), max(count / factor - 1, 1.0)

    def estimate(self) -> MetricEstimate:
        """Return the value with its standard error."""
        se, df = self.spread() or (None, None)
        return MetricEstimate(value=self.value, se=se, df=df, rows=self.rows, blocks=self.days.size)


def estimate(metric: str, y: ArrayLike, p: ArrayLike, days: ArrayLike) -> MetricEstimate:
    """Return `metric` of predictions `p` against outcomes `y`, all of shape (n,), with its standard error.

    `metric` is roc_auc, log_loss, brier, calibration_gap (mean of p less the rate of y: positive is too high),
    calibration_slope (1 where p is as sure as it should be, less where it is too sure), mae, rmse,
    `precision_at_1_percent` (the rate of y among that share of the rows, those of the highest p), or the name of a
    scikit-learn scorer (as scikit-learn defines it: greater is better; a class is predicted from p >= 0.5 where y
    is 0 and 1). `days` names each row's day; sorted, neighbours are
    neighbours. One day gives no standard error.

    Means, rmse, slope and precision by the delta method, roc_auc by the clustered form of DeLong's (Obuchowski 1997,
    Biometrics 53), scorers by leaving out one day (at most 200 groups of days) at a time.
    Raises DataError for lengths that differ, no row, NaN, or outcomes that do not fit the metric; ConfigError for
    an unknown name.
    """
    return influence(metric, y, p, days).estimate()


def daily_difference(a_loss: ArrayLike, b_loss: ArrayLike, days: ArrayLike) -> MetricEstimate:
    """Return the mean over the rows of a_loss - b_loss, with the standard error over the days.

    Its variance counts the correlation of neighbouring days, and that days hold different numbers of rows.
    Raises DataError as `estimate`.
    """
    a, b, day = _checked(a_loss, b_loss, days)
    return _mean(a - b, day).estimate()


def row_loss(task: Literal["classification", "regression"], y: ArrayLike, p: ArrayLike) -> Floats:
    """Return each row's loss, shape (n,): log loss in nats (p clipped by 2.2e-16) or the squared error."""
    truth, guess = np.asarray(y, np.float64), np.asarray(p, np.float64)
    if task == "regression":
        return np.asarray((guess - truth) ** 2)
    clipped = np.clip(guess, _EPS, 1 - _EPS)
    return np.asarray(-(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped)))


def lower_is_better(metric: str) -> bool:
    """Whether less of `metric` is better; of calibration_gap, less of its absolute value."""
    return metric in _LOWER


def defined(metric: str, y: Floats, p: Floats) -> bool:
    """Whether these rows have such a metric: outcomes that are all alike have no roc_auc and no calibration_slope."""
    if metric not in ("roc_auc", "calibration_slope"):
        return True
    guess = np.clip(p, _EPS, 1 - _EPS)
    positive, negative = guess[y == 1], guess[y != 1]
    if not positive.size or not negative.size:
        return False
    # A logistic regression has no end where a threshold parts the classes (Albert & Anderson 1984, Biometrika 71).
    return metric == "roc_auc" or bool(negative.max() > positive.min() and positive.max() > negative.min())


def influence(metric: str, y: ArrayLike, p: ArrayLike, days: ArrayLike) -> Influence:
    """Return `metric` with the part of each day in its deviation; see `estimate`."""
    truth, guess, day = _checked(y, p, days)
    budget = _PRECISION.fullmatch(metric)
    if (metric in _BINARY or budget) and not (np.isin(truth, (0.0, 1.0)).all() and ((guess >= 0) & (guess <= 1)).all()):
        raise DataError(f"{metric} needs outcomes of 0 and 1 and probabilities; see the target and the model's output")
    if metric == "roc_auc":
        return _roc_auc(truth, guess, day)
    if metric == "calibration_slope":
        return _slope(truth, guess, day)
    if metric == "rmse":
        squared = _mean((guess - truth) ** 2, day)
        root = float(np.sqrt(squared.value))
        return Influence(root, squared.days / (2 * root) if root else squared.days, squared.rows)
    losses: dict[str, Callable[[], Floats]] = {
        "log_loss": lambda: row_loss("classification", truth, guess),
        "brier": lambda: (guess - truth) ** 2,
        "calibration_gap": lambda: guess - truth,
        "mae": lambda: np.abs(guess - truth),
    }
    if metric in losses:
        return _mean(losses[metric](), day)
    return _precision(float(budget[1]) / 100, truth, guess, day) if budget else _scorer(metric, truth, guess, day)


def _mean(values: Floats, day: NDArray[np.intp]) -> Influence:
    mean = float(values.mean())
    return Influence(mean, _by_day(day, (values - mean) / values.size), values.size)


def _by_day(day: NDArray[np.intp], parts: Floats) -> Floats:
    return np.bincount(day, parts).astype(np.float64)


def _roc_auc(y: Floats, p: Floats, day: NDArray[np.intp]) -> Influence:
    late = y == 1
    positives, negatives = int(late.sum()), int((~late).sum())
    if not positives or not negatives:
        raise DataError(f"roc_auc needs both outcomes: {positives} of {y.size} rows are positive")
    # Here and not above: half a second that those who measure no area need not wait.
    from scipy import stats

    # A row's placement is the share of the other class that it is on the right side of, ties as half.
    ranks, placed = stats.rankdata(p), np.empty_like(p)
    placed[late] = (ranks[late] - stats.rankdata(p[late])) / negatives
    placed[~late] = 1 - (ranks[~late] - stats.rankdata(p[~late])) / positives
    area = float(placed[late].mean())
    parts = (placed - area) / np.where(late, positives, negatives)
    return Influence(area, _by_day(day, parts), y.size)


def _slope(y: Floats, p: Floats, day: NDArray[np.intp]) -> Influence:
    """The slope of a logistic regression of the outcomes on the logit of p (Cox 1958, Biometrika 45)."""
    guess = np.clip(p, _EPS, 1 - _EPS)
    x = np.column_stack([np.ones_like(guess), np.log(guess) - np.log1p(-guess)])
    if not defined("calibration_slope", y, p):
        raise DataError("calibration_slope needs both outcomes, and predictions that do not part them without a miss")
    fitted, lost = np.zeros(2), y.size * np.log(2.0)
    for _ in range(_MOST_ROUNDS):
        rate = special.expit(x @ fitted)
        information = (x * (rate * (1 - rate))[:, None]).T @ x
        step = np.linalg.solve(information, x.T @ (y - rate))
        # Undamped, predictions that are too sure by a factor of three throw Newton's method off for good.
        while (found := _logistic(x @ (fitted + step), y)) > lost and np.abs(step).max() >= _SETTLED:
            step = step / 2
        fitted, lost = fitted + step, found
        if np.abs(step).max() < _SETTLED:
            parts = np.linalg.solve(information, (x * (y - rate)[:, None]).T)[1]
            return Influence(float(fitted[1]), _by_day(day, parts), y.size)
    raise DataError(f"calibration_slope did not settle in {_MOST_ROUNDS} rounds: {y.size} rows are too few to tell it")


def _logistic(logit: Floats, y: Floats) -> float:
    return float(np.sum(np.logaddexp(0.0, logit) - y * logit))


def _precision(share: float, y: Floats, p: Floats, day: NDArray[np.intp]) -> Influence:
    """The rate of y among the `share` of the rows with the highest p.

    Of rows that are alike at the edge each counts by the part of them that the budget still holds. The edge moves with
    the sample, and what lies there is the rate of y around it: in the half of the budget on either side.
    """
    if not 0 < share < 1:
        raise ConfigError(f"precision at {share:.0%} of the rows: give a share above 0 and below 100 percent")
    budget = max(share * y.size, 1.0)
    ranked = np.sort(p)
    inner, edge, outer = (ranked[max(y.size - int(np.ceil(part * budget)), 0)] for part in (0.5, 1.0, 1.5))
    held = np.where(p > edge, 1.0, 0.0)
    held[p == edge] = (budget - held.sum()) / (p == edge).sum()
    value, there = float(held @ y) / budget, float(y[(p >= outer) & (p <= inner)].mean())
    parts = (held * (y - there) - budget / y.size * (value - there)) / budget
    return Influence(value, _by_day(day, parts), y.size)


def _scorer(name: str, y: Floats, p: Floats, day: NDArray[np.intp]) -> Influence:
    score = _scored_by(name)
    value = score(y, p)
    groups = int(day.max()) + 1
    if groups < 2:
        return Influence(value, np.zeros(1), y.size)
    group = day * min(groups, _MOST_GROUPS) // groups
    without = np.array([score(y[group != g], p[group != g]) for g in range(int(group.max()) + 1)])
    return Influence(value, (without.mean() - without) * (without.size - 1) / without.size, y.size)


def _scored_by(name: str) -> Any:
    try:
        from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
        from sklearn.metrics import get_scorer, get_scorer_names
    except ModuleNotFoundError as exc:
        raise MissingExtraError("sklearn", "mlflow") from exc
    if name not in get_scorer_names():
        ours = ", ".join([*sorted(_LOWER | _BINARY), "precision_at_1_percent (of any percentage)"])
        raise ConfigError(f"unknown metric {name!r}; there are {ours} and scikit-learn's scorers")
    scorer = get_scorer(name)

    class Regression(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        """Predictions that were made, in the form that a scorer asks for."""

        def predict(self, guess: Floats) -> Floats:
            return guess

    class Classification(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # as above
        """Probabilities that were given, in the form that a scorer asks for."""

        classes_ = np.array([0.0, 1.0])

        def predict(self, guess: Floats) -> Floats:
            return np.where(guess >= 0.5, 1.0, 0.0)

        def predict_proba(self, guess: Floats) -> Floats:
            return np.column_stack([1 - guess, guess])

    def score(y: Floats, p: Floats) -> float:
        binary = np.isin(y, (0.0, 1.0)).all() and ((p >= 0) & (p <= 1)).all()
        try:
            return float(scorer(Classification() if binary else Regression(), p, y))
        except (ValueError, TypeError, AttributeError) as exc:
            raise DataError(f"{name} cannot be computed from these outcomes and predictions: {exc}") from exc

    return score


def _checked(y: ArrayLike, p: ArrayLike, days: ArrayLike) -> tuple[Floats, Floats, NDArray[np.intp]]:
    truth, guess = np.asarray(y, np.float64), np.asarray(p, np.float64)
    shapes = truth.shape, guess.shape, np.shape(days)
    if len(set(shapes)) > 1 or truth.ndim != 1 or not truth.size:
        raise DataError(f"outcomes, predictions and days must be of one length, at least 1: shapes {shapes}")
    if not (np.isfinite(truth).all() and np.isfinite(guess).all()):
        raise DataError("outcomes and predictions must be finite numbers; leave out rows without an outcome")
    return truth, guess, np.unique(np.asarray(days), return_inverse=True)[1]

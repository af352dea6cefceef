"""A stream's life under a policy: the governor decides on what the steps measure, and the gate on what was trained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_mlops_provider.contracts.decide import Decision, EndedTraining, Observation, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import Gate, GateResult, MetricEstimate
from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.steps import governor
from airflow_mlops_provider.steps.alarms import drift
from airflow_mlops_provider.steps.gate import compare
from airflow_mlops_provider.steps.metrics import defined, estimate
from airflow_mlops_provider.steps.reference_metrics import ratio
from tests.bench_drift.labelled import Rows

__all__ = ["MONTH", "Life", "Models"]

Floats = NDArray[np.float64]
MONTH = 30
"""Days that a model is fitted on."""
_HOLDOUT_DAYS, _BINS = 10, 20
_METRICS = ("log_loss", "calibration_gap", "calibration_slope")


@dataclass(frozen=True)
class Life:
    """What became of a stream: the days at which a training started, and each batch's log loss."""

    trained: tuple[int, ...]
    losses: Floats


class Models:
    """The models of a stream, each a logistic regression of 30 days, and their figures, made when asked for.

    As `train` and `evaluate` do: a model is judged without the last 10 of its days, which are its holdout, and
    serves refitted on all of them. A model is known by the day that it was fitted at, a batch by its first day.
    """

    def __init__(self, windows: list[Rows], batch_days: int = MONTH) -> None:
        self.x, self.y = np.concatenate([w.x for w in windows]), np.concatenate([w.y for w in windows])
        self.days, self.batch_days = np.concatenate([w.days for w in windows]), batch_days
        for made in ("model", "judged", "figures", "gated", "profile", "drifted", "sorted"):
            setattr(self, made, cache(getattr(self, made)))

    def rows(self, first: int, end: int) -> Rows:
        """Return the rows of days `first` to `end`, the latter not counted."""
        place = slice(*np.searchsorted(self.days, [first, end]))
        return Rows(self.x[place], self.y[place], self.days[place])

    def model(self, at: int) -> Any:
        return _fitted(self.rows(at - MONTH, at))

    def judged(self, at: int) -> tuple[Rows, Floats]:
        """Return the holdout and its probabilities, of a model that has not seen it."""
        holdout = self.rows(at - _HOLDOUT_DAYS, at)
        return holdout, _probability(_fitted(self.rows(at - MONTH, at - _HOLDOUT_DAYS)), holdout)

    def figures(self, at: int, batch: int) -> dict[str, MetricEstimate]:
        """Return what `performance` measures of a model on a batch."""
        rows = self.rows(batch, batch + self.batch_days)
        p = _probability(self.model(at), rows)
        found = {name: estimate(name, rows.y, p, rows.days) for name in _METRICS if defined(name, rows.y, p)}
        holdout, guess = self.judged(at)
        found["log_loss_ratio"] = ratio(found["log_loss"], estimate("log_loss", holdout.y, guess, holdout.days))
        return found

    def gated(self, champion: int, at: int) -> GateResult:
        """Judge the challenger of a day against the champion by the gate's defaults."""
        holdout, challenger = self.judged(at)
        former = _probability(self.model(champion), holdout)
        return compare("log_loss", holdout.y, challenger, former, holdout.days, Gate(vs_champion="better"))

    def profile(self, at: int, first: int) -> Profile:
        """Return the profile of 30 days in the bins of those that a model was fitted on."""
        then, now = self.rows(at - MONTH, at), self.rows(first, first + MONTH)
        edges = np.quantile(then.x, np.arange(1, _BINS) / _BINS, axis=0)
        day = now.days - now.days[0]
        columns = []
        for place, inner in enumerate(edges.T):
            values = now.x[:, place]
            cell = np.searchsorted(inner, values)
            blocks = np.bincount(day * _BINS + cell, minlength=(day[-1] + 1) * _BINS).reshape(-1, _BINS)
            column = ColumnProfile(
                name=f"x{place}",
                kind="numeric",
                counts=tuple(blocks.sum(axis=0).tolist()),
                sums=tuple(np.bincount(cell, values, _BINS).tolist()),
                edges=tuple(inner.tolist()),
                mean=float(values.mean()),
                std=float(values.std()),
                blocks=tuple((*row, 0) for row in blocks.tolist()),
            )
            columns.append(column)
        return Profile(rows=len(day), columns=tuple(columns), block_ids=tuple(f"{d:05}" for d in np.unique(now.days)))

    def drifted(self, at: int, batch: int) -> tuple[tuple[str, ...], float]:
        """Return the columns of a batch of 30 days that our detector names, and Evidently's share of drifted ones."""
        columns = drift(self.profile(at, at - MONTH), self.profile(at, batch), false_alarms=0.01)
        # Evidently's default of numbers above 1,000 rows, as the smoke test checks: Wasserstein over the deviation.
        then = self.sorted(at - MONTH)
        far = np.abs(then - self.sorted(batch)).mean(axis=0) / then.std(axis=0)
        return tuple(column.column for column in columns if column.named), float(np.mean(far >= 0.1))

    def sorted(self, first: int) -> Floats:
        """Return each column's values in order: Wasserstein's distance of as many is the mean difference."""
        return np.sort(self.rows(first, first + MONTH).x, axis=0)

    def live(self, policy: RetrainPolicy, *, gate: bool, distances: bool = False) -> Life:
        """Run the stream: its first 30 days have the first model, and the governor decides after each later batch."""
        champion, trained, losses = MONTH, [], []
        seen: list[Observation] = []
        decided: list[Decision] = []
        ended: list[EndedTraining] = []
        for batch in range(MONTH, int(self.days[-1]) + 1, self.batch_days):
            figures = self.figures(champion, batch)
            losses.append(figures["log_loss"].value)
            end = batch + self.batch_days
            if end > self.days[-1] + 1 - MONTH:
                continue
            seen.append(self._observed(champion, batch, figures, distances))
            made = governor.decide(seen, decided, policy, pipeline="stream", champion=str(champion), ended=ended)
            decided.append(made)
            if made.decision == "retrain":
                trained.append(end)
                passed = not gate or self.gated(champion, end).passed
                ended.append(_end(seen[-1], passed))
                champion = end if passed else champion
        return Life(tuple(trained), np.array(losses))

    def _observed(self, champion: int, batch: int, figures: dict[str, MetricEstimate], distances: bool) -> Observation:
        rows = figures["log_loss"].rows
        named, share = self.drifted(champion, batch) if distances else ((), 0.0)
        return Observation(
            batch=f"{batch:05}",
            end=datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=batch + self.batch_days),
            labelled=rows,
            version=str(champion),
            metrics=figures | {"evidently": MetricEstimate(value=share, rows=rows)},
            named=named,
        )


def _end(seen: Observation, passed: bool) -> EndedTraining:
    verdict: Any = "accepted" if passed else "refused"
    return EndedTraining(until=seen.batch, end=seen.end, version=seen.batch, verdict=verdict)


def _fitted(rows: Rows) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(rows.x, rows.y)


def _probability(model: Any, rows: Rows) -> Floats:
    return np.asarray(model.predict_proba(rows.x)[:, 1])

"""Contests of a challenger and a champion over days that resemble each other, and what four tests make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from airflow_mlops_provider.contracts.evaluate import Gate
from airflow_mlops_provider.steps.gate import compare
from airflow_mlops_provider.steps.metrics import row_loss
from tests.bench_drift.labelled import lasting
from tests.bench_drift.markdown import table

__all__ = ["GAINS", "TESTS", "promoted", "report"]

GAINS = (0.0, -0.002, 0.008, 0.033)
"""Of the challenger in nats a row, in truth: none, worse, and the two that baselines are known for."""
_ERROR, _DAYS, _ROWS = 0.7, 30, 333
# Days of which the truth is taken: its own error is a hundredth of the least gain.
_MANY = 20_000

Floats = NDArray[np.float64]


def promoted(effect: float, gain: float, contests: int) -> Iterator[tuple[str, float]]:
    """Yield the share, in %, of contests of 10,000 rows in 30 days that the challenger wins, by each of `TESTS`.

    Both models know the outcome's logit but for an error that depends on the row and on its day; a day moves the
    outcomes too (`lasting`, of the size `effect`).
    """
    error = _error(effect, gain)
    wins = Counter[str]()
    for seed in range(contests):
        rng = np.random.default_rng([seed, round(1000 * effect), round(1000 * gain) % 2**32])
        y, champion, challenger, days = _contest(rng, effect, error, _DAYS, _ROWS)
        wins += Counter(name for name, test in TESTS.items() if test(y, challenger, champion, days))
    for name in TESTS:
        yield name, 100 * wins[name] / contests


def _contest(
    rng: np.random.Generator, effect: float, error: float, days: int, rows: int
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    truth, champion, challenger, day = _logits(rng, effect, error, days, rows)
    y = (rng.random(truth.size) < special.expit(truth)).astype(np.float64)
    return y, special.expit(champion), special.expit(challenger), day


def _logits(
    rng: np.random.Generator, effect: float, error: float, days: int, rows: int
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    day = np.repeat(np.arange(days), rows)
    shared = effect * np.column_stack([lasting(rng, days) for _ in range(3)])[day]
    known = rng.normal(size=day.size) * 1.3 - 1
    errors = rng.normal(size=(day.size, 2)) + shared[:, 1:]
    return known + shared[:, 0], known + _ERROR * errors[:, 0], known + error * errors[:, 1], day


@cache
def _error(effect: float, gain: float) -> float:
    """Return the size of the challenger's errors that makes it better by `gain`, by bisection on very many days."""

    def better(error: float) -> float:
        truth, champion, challenger, _ = _logits(np.random.default_rng(0), effect, error, _MANY, 10)
        rate = special.expit(truth)
        # The expected log loss of a logit z: ln(1 + e^z) - rate * z.
        return float(np.mean(np.logaddexp(0, champion) - np.logaddexp(0, challenger) - rate * (champion - challenger)))

    if gain == 0.0:
        return _ERROR
    low, high = 0.0, 2 * _ERROR
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if better(middle) > gain else (low, middle)
    return low


def _daily(y: Floats, challenger: Floats, champion: Floats, days: NDArray[np.int64]) -> Floats:
    gain = row_loss("classification", y, champion) - row_loss("classification", y, challenger)
    return np.asarray(np.bincount(days, gain) / np.bincount(days))


def _over_rows(y: Floats, challenger: Floats, champion: Floats, days: NDArray[np.int64]) -> bool:
    gain = row_loss("classification", y, champion) - row_loss("classification", y, challenger)
    return bool(stats.ttest_1samp(gain, 0, alternative="greater").pvalue <= 0.05)


def _over_days(alpha: float) -> Test:
    def test(y: Floats, challenger: Floats, champion: Floats, days: NDArray[np.int64]) -> bool:
        daily = _daily(y, challenger, champion, days)
        return bool(stats.ttest_1samp(daily, 0, alternative="greater").pvalue <= alpha)

    return test


def _gate(alpha: float) -> Test:
    gate = Gate(vs_champion="better", alpha=alpha)
    return lambda y, challenger, champion, days: compare("log_loss", y, challenger, champion, days, gate).passed


Test = Callable[[Floats, Floats, Floats, NDArray[np.int64]], bool]
TESTS: dict[str, Test] = {
    "any gain": lambda *contest: bool(_daily(*contest).mean() > 0),
    "t over rows, alpha .05": _over_rows,
    "t over days, alpha .05": _over_days(0.05),
    "t over days, alpha .1": _over_days(0.1),
    "our gate, alpha .05": _gate(0.05),
    "our gate, alpha .1": _gate(0.1),
}
"""What promotes a challenger."""


def report(count: int) -> Iterator[str]:
    """Yield the tables' lines."""
    contests = 20 * count
    yield f"{contests} contests a figure, each of 10,000 rows in 30 days: challengers promoted, %"
    for name, effect in (("independent days", 0.0), ("large day effects", 0.3), ("very large day effects", 0.6)):
        found = [dict(promoted(effect, gain, contests)) for gain in GAINS]
        heads = [f"gain {gain:g} nats" for gain in GAINS]
        yield ""
        yield from table(name, heads, ((test, [cell[test] for cell in found]) for test in TESTS))

"""Streams of rows as tables: what a detector sees that has no profile."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.bench_drift.labelled import lasting

__all__ = ["FAULTS", "FrameStream", "faulty", "shifted"]

FAULTS = ("10 % nulls", "50 % nulls", "unit", "renamed level")
"""Faults of one column each, all in one window."""


@dataclass(frozen=True)
class FrameStream:
    """Half numbers (normal and lognormal), half texts of 2 to 50 levels; no, 1 or 5 % nulls; `at` is the row's time.

    Days of `effect` resemble themselves (see `labelled.lasting`): numbers move by it in standard deviations, texts
    in logits of their levels, null rates by its exponential.
    """

    columns: int = 100
    reference_days: int = 60
    window_days: int = 7
    windows: int = 2
    rows_a_day: int = 150
    effect: float = 0.0

    def draw(self, seed: int) -> list[pd.DataFrame]:
        """Return the reference and the windows after it."""
        rng = np.random.default_rng([seed, self.columns, round(1000 * self.effect)])
        days = self.reference_days + self.window_days * self.windows
        day = np.repeat(np.arange(days), self.rows_a_day)
        at = pd.Timestamp("2020-01-01") + pd.to_timedelta(day, unit="D")
        columns = {f"c{i}": self._column(rng, days, number=bool(i % 2), skewed=i % 4 == 1) for i in range(self.columns)}
        whole = pd.DataFrame({"at": at} | columns)
        cuts = [0, *range(self.reference_days, days + 1, self.window_days)]
        return [whole[(day >= a) & (day < b)].reset_index(drop=True) for a, b in pairwise(cuts)]

    def _column(self, rng: np.random.Generator, days: int, *, number: bool, skewed: bool) -> pd.Series:
        moved = self.effect * lasting(rng, days)
        values = self._numbers(rng, moved, skewed) if number else self._texts(rng, moved)
        rate = np.minimum(rng.choice([0.0, 0.01, 0.05]) * np.exp(moved), 0.5)
        return pd.Series(values).mask(rng.random(values.size) < np.repeat(rate, self.rows_a_day))

    def _numbers(self, rng: np.random.Generator, moved: NDArray[np.float64], skewed: bool) -> NDArray[np.float64]:
        values = rng.normal(size=moved.size * self.rows_a_day) + np.repeat(moved, self.rows_a_day)
        return np.exp(values / 2) if skewed else values + 10

    def _texts(self, rng: np.random.Generator, moved: NDArray[np.float64]) -> NDArray[np.str_]:
        levels = int(rng.integers(2, 51))
        tilt = rng.permutation(np.linspace(-1, 1, levels))
        shares = rng.dirichlet(np.full(levels, 2.0)) * np.exp(np.outer(moved, tilt))
        shares /= shares.sum(axis=1, keepdims=True)
        names = np.array([f"l{i}" for i in range(levels)])
        return np.concatenate([np.repeat(names, counts) for counts in rng.multinomial(self.rows_a_day, shares)])


def faulty(window: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a window with each of `FAULTS` in a column of its own, and these columns."""
    rng = np.random.default_rng([seed, 1])
    names = [name for name in window if name != "at"]
    texts, numbers = (
        list(rng.permutation([n for n in names if _is_text(window[n]) is text])) for text in (True, False)
    )
    places = dict(zip(FAULTS, (texts.pop(), numbers.pop(), numbers.pop(), texts.pop()), strict=True))
    window = window.copy()
    for share, fault in ((0.1, "10 % nulls"), (0.5, "50 % nulls")):
        window[places[fault]] = window[places[fault]].mask(rng.random(len(window)) < share)
    window[places["unit"]] *= 1000
    column = window[places["renamed level"]]
    shares = column.value_counts(normalize=True)
    # The smallest level that a tenth of the rows have, or else the most frequent one.
    level = shares[shares >= 0.1].index[-1] if (shares >= 0.1).any() else shares.index[0]
    window[places["renamed level"]] = column.replace(level, f"{level}, renamed")
    return window, places


def shifted(window: pd.DataFrame, seed: int, columns: int = 10) -> pd.DataFrame:
    """Return a window in which `columns` numbers that no model uses have moved by half a standard deviation."""
    rng = np.random.default_rng([seed, 2])
    window = window.copy()
    for name in rng.permutation([n for n in window if n != "at" and not _is_text(window[n])])[:columns]:
        window[name] += window[name].std() / 2
    return window


def _is_text(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)

"""Streams of days as profiles, without and with effects that the rows of a day share, and the faults put into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.steps.profile import NEW

__all__ = ["FAULTS", "Stream", "faulty"]

_BINS = 20
_NUMBER: dict[str, Any] = {"kind": "numeric", "edges": tuple(map(float, range(1, _BINS)))}


@dataclass(frozen=True)
class Stream:
    """Columns over days: half numbers in 20 even bins, half texts of 2 to 50 uneven levels; no, 1 or 5 % nulls.

    `effect` is the size of what the rows of a day share: an effect a column, a quarter of its variance common to
    all, that lasts (0.6 from day to day) and has a weekday's part; its changes are normal, or with `heavy` tails
    Student's t of 3 degrees. 0: the rows are independent. Without `timed` no day is known; of a window only
    `sampled` rows are seen.
    """

    columns: int
    reference_days: int
    window_days: int
    windows: int
    rows_a_day: int
    effect: float = 0.0
    heavy: bool = False
    timed: bool = True
    sampled: int | None = None

    def draw(self, seed: int) -> tuple[Profile, list[Profile]]:
        """Return the reference's profile and those of the windows after it."""
        rng = np.random.default_rng([seed, self.columns])
        days = self.reference_days + self.window_days * self.windows
        common = self._lasting(rng, days)
        drawn = [self._column(rng, days, common, number=bool(i % 2)) for i in range(self.columns)]
        cuts = [0, *range(self.reference_days, days + 1, self.window_days)]
        profiles = [_profile([counts[a:b] for counts in drawn], self.timed) for a, b in pairwise(cuts)]
        if self.sampled is not None:
            spans = pairwise(cuts[1:])
            profiles[1:] = [
                _profile([self._sample(rng, counts[a:b]) for counts in drawn], self.timed) for a, b in spans
            ]
        return profiles[0], [_open(window) for window in profiles[1:]]

    def _sample(self, rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
        return rng.multivariate_hypergeometric(counts.sum(axis=0), self.sampled or 0)[None]

    def _column(self, rng: np.random.Generator, days: int, common: np.ndarray, *, number: bool) -> np.ndarray:
        bins = _BINS if number else int(rng.integers(2, 51))
        base = np.full(bins, 1 / bins) if number else rng.dirichlet(np.full(bins, 2.0))
        weekday = rng.normal(size=7)[np.arange(days) % 7]
        lasting = 0.5 * common + np.sqrt(0.5) * self._lasting(rng, days) + 0.5 * weekday
        shares = base * np.exp(self.effect * np.outer(lasting, rng.permutation(np.linspace(-1, 1, bins))))
        null = np.minimum(rng.choice([0.0, 0.01, 0.05]) * np.exp(self.effect * lasting), 0.5)
        shares = np.column_stack([shares * (1 - null[:, None]) / shares.sum(axis=1, keepdims=True), null])
        return np.array([rng.multinomial(self.rows_a_day, share) for share in shares])

    def _lasting(self, rng: np.random.Generator, days: int, persistence: float = 0.6) -> np.ndarray:
        # Student's t of 3 degrees, whose variance is 3.
        noise = rng.standard_t(3, size=days) / np.sqrt(3) if self.heavy else rng.normal(size=days)
        noise *= np.sqrt(1 - persistence**2)
        effect = np.zeros(days)
        for day in range(days):
            effect[day] = noise[day] + persistence * (effect[day - 1] if day else rng.normal())
        return effect


def _profile(columns: list[np.ndarray], timed: bool) -> Profile:
    days = len(columns[0])
    return Profile(
        rows=int(columns[0].sum()),
        columns=tuple(_column(f"c{i}", counts, timed, number=bool(i % 2)) for i, counts in enumerate(columns)),
        block_ids=tuple(f"{day:05}" for day in range(days)) if timed else (),
    )


def _column(name: str, counts: np.ndarray, timed: bool, *, number: bool) -> ColumnProfile:
    *totals, nulls = counts.sum(axis=0).tolist()
    return ColumnProfile(
        name=name,
        counts=tuple(totals),
        nulls=nulls,
        blocks=tuple(map(tuple, counts.tolist())) if timed else (),
        **(_NUMBER | {"sums": tuple(map(float, totals))} if number else _text(len(totals))),
    )


def _text(levels: int) -> dict[str, Any]:
    return {"kind": "categorical", "levels": tuple(f"l{i}" for i in range(levels))}


def _open(window: Profile) -> Profile:
    """As `profile_like` counts: with a bucket for new levels."""
    columns = [
        c.model_copy(update={"levels": (*c.levels, NEW), "counts": (*c.counts, 0)}) if c.kind == "categorical" else c
        for c in window.columns
    ]
    return window.model_copy(update={"columns": tuple(columns)})


def _nulls(column: ColumnProfile, rng: np.random.Generator, share: float) -> ColumnProfile:
    lost = rng.binomial(column.counts, share)
    left = tuple(int(n) for n in np.array(column.counts) - lost)
    return column.model_copy(update={"counts": left, "nulls": column.nulls + int(lost.sum())})


def _unit(column: ColumnProfile, rng: np.random.Generator) -> ColumnProfile:
    """Multiply: the lowest tenth stays in the first bin, the rest goes to the last one."""
    low = len(column.counts) // 10
    moved = (sum(column.counts[:low]), *[0] * (len(column.counts) - 2), sum(column.counts[low:]))
    return column.model_copy(update={"counts": moved})


def _renamed(column: ColumnProfile, rng: np.random.Generator) -> ColumnProfile:
    """Rename the smallest level that a tenth of the rows have, or else the most frequent one."""
    counts = np.array(column.counts)
    large = np.flatnonzero(counts >= 0.1 * counts.sum())
    place = large[np.argmin(counts[large])] if large.size else np.argmax(counts)
    counts[-1] += counts[place]
    counts[place] = 0
    return column.model_copy(update={"counts": tuple(counts.tolist())})


_FAULTS: dict[str, tuple[Callable[[ColumnProfile, np.random.Generator], ColumnProfile], tuple[str, ...]]] = {
    "10 % nulls": (lambda column, rng: _nulls(column, rng, 0.1), ("numeric", "categorical")),
    "50 % nulls": (lambda column, rng: _nulls(column, rng, 0.5), ("numeric", "categorical")),
    "unit": (_unit, ("numeric",)),
    "renamed level": (_renamed, ("categorical",)),
}
FAULTS = tuple(_FAULTS)
"""Faults that harm, each of one column in one window."""


def faulty(profile: Profile, fault: str, rng: np.random.Generator) -> tuple[Profile, int]:
    """Return a window with `fault` in a column that is drawn, and that column's place."""
    change, kinds = _FAULTS[fault]
    columns = list(profile.columns)
    place = int(rng.choice([i for i, column in enumerate(columns) if column.kind in kinds]))
    columns[place] = change(columns[place], rng)
    return profile.model_copy(update={"columns": tuple(columns)}), place

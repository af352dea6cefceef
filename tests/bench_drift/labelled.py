"""Streams of labelled windows: a world that stays, or changes in a known way, and days that differ anyway."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["CALM", "DRIFTING", "HARMLESS", "KINDS", "Kind", "Rows", "World", "lasting"]

Floats = NDArray[np.float64]
COLUMNS, _THAT_MATTER = 10, 6


@dataclass(frozen=True)
class Rows:
    """A window's rows: `x` of shape (n, columns), outcomes 0 and 1 `y` (n,), and each row's day (n,)."""

    x: Floats
    y: Floats
    days: NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """What a stream is drawn from; `change` says where it goes. Days of `effect` resemble themselves (see `lasting`).

    An outcome's logit is `base` + weights of the first six columns + 1.5 for each unit that the first is above 1;
    a logistic regression does not know the last. The other four columns matter nothing.
    """

    kind: str
    effect: float
    windows: int = 21
    days: int = 30
    rows_a_day: int = 200

    def draw(self, seed: int) -> list[Rows]:
        """Return the windows; the first is what the first model is fitted on."""
        rng = np.random.default_rng([seed, sorted(KINDS).index(self.kind)])
        weights, other = (_of_length(rng.normal(size=_THAT_MATTER), 1.3) for _ in range(2))
        change = self._change(seed)
        count = self.windows * self.days
        own = self.effect * np.column_stack([lasting(rng, count) for _ in range(COLUMNS + 1)])
        rows = []
        for window in range(self.windows):
            day = window * self.days + np.repeat(np.arange(self.days), self.rows_a_day)
            x = rng.normal(size=(day.size, COLUMNS)) + change.means[window] + own[day, :COLUMNS]
            angle = change.angle[window]
            used = np.cos(angle) * weights + np.sin(angle) * _square_to(other, weights)
            logit = change.base[window] - 1 + x[:, :_THAT_MATTER] @ used + 1.5 * np.maximum(x[:, 0] - 1, 0)
            y = rng.random(day.size) < 1 / (1 + np.exp(-logit - own[day, COLUMNS]))
            rows.append(Rows(x, y.astype(np.float64), day))
        return rows

    def changed(self, seed: int) -> int | None:
        """Return the first window that is not as the first one; None where all are."""
        change = self._change(seed)
        other = [np.any(drawn != drawn[0], axis=tuple(range(1, drawn.ndim))) for drawn in vars(change).values()]
        places = np.flatnonzero(np.any(other, axis=0))
        return int(places[0]) if places.size else None

    def _change(self, seed: int) -> Kind:
        rng = np.random.default_rng([seed, sorted(KINDS).index(self.kind), 1])
        return KINDS[self.kind](rng, self.windows)


@dataclass
class Kind:
    """What changes, a value a window: the outcome's base in logits, the weights' angle, the columns' means."""

    base: Floats
    angle: Floats
    means: Floats


Draw: TypeAlias = Callable[[np.random.Generator, int], Kind]
Shape: TypeAlias = Callable[[np.random.Generator, int], Floats]


def lasting(rng: np.random.Generator, days: int, persistence: float = 0.6) -> Floats:
    """Return a standard normal effect a day: three quarters of its variance last, a quarter is the weekday's."""
    noise = rng.normal(size=days) * np.sqrt(1 - persistence**2)
    effect = np.empty(days)
    before = rng.normal()
    for day in range(days):
        before = effect[day] = noise[day] + persistence * before
    return np.asarray(np.sqrt(0.75) * effect + 0.5 * rng.normal(size=7)[np.arange(days) % 7])


def _of_length(vector: Floats, length: float) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector) * length)


def _square_to(vector: Floats, to: Floats) -> Floats:
    return _of_length(vector - to * (vector @ to) / (to @ to), float(np.linalg.norm(to)))


def _still(windows: int) -> Kind:
    return Kind(np.zeros(windows), np.zeros(windows), np.zeros((windows, COLUMNS)))


def _step(rng: np.random.Generator, windows: int) -> Floats:
    """0 up to some window of 3 to 14, then 1."""
    return (np.arange(windows) >= rng.integers(3, 15)).astype(np.float64)


def _ramp(rng: np.random.Generator, windows: int) -> Floats:
    """0 up to some window of 2 to 6, then up to 1 over 8 to 12 windows."""
    return np.clip((np.arange(windows) - rng.integers(2, 7)) / rng.integers(8, 13), 0, 1)


def _sized(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(low, high))


def _calm(rng: np.random.Generator, windows: int) -> Kind:
    return _still(windows)


def _harmless(column: int) -> Draw:
    def drawn(rng: np.random.Generator, windows: int) -> Kind:
        kind = _still(windows)
        kind.means[:, column] = _sized(rng, 0.5, 1.5) * _step(rng, windows)
        return kind

    return drawn


def _covariate(rng: np.random.Generator, windows: int) -> Kind:
    """The first column moves to where the logistic regression is wrong, the second with it."""
    kind = _still(windows)
    kind.means[:, 0] = rng.uniform(0.8, 1.8) * _step(rng, windows)
    kind.means[:, 1] = kind.means[:, 0] / 2
    return kind


def _prior(shape: Shape, low: float, high: float) -> Draw:
    def drawn(rng: np.random.Generator, windows: int) -> Kind:
        kind = _still(windows)
        kind.base = _sized(rng, low, high) * shape(rng, windows)
        return kind

    return drawn


def _concept(shape: Shape, low: float, high: float) -> Draw:
    def drawn(rng: np.random.Generator, windows: int) -> Kind:
        kind = _still(windows)
        kind.angle = np.deg2rad(rng.uniform(low, high)) * shape(rng, windows)
        return kind

    return drawn


def _alternating(rng: np.random.Generator, windows: int) -> Floats:
    """0 and 1 in turns of 4 to 6 windows."""
    return ((np.arange(windows) + rng.integers(0, 3)) // rng.integers(4, 7) % 2).astype(np.float64)


def _year(rng: np.random.Generator, windows: int) -> Floats:
    return np.sin(2 * np.pi * (np.arange(windows) + rng.integers(0, 12)) / 12)


DRIFTING: dict[str, Draw] = {
    "covariate, sudden": _covariate,
    "prior, sudden": _prior(_step, 0.3, 1.2),
    "prior, gradual": _prior(_ramp, 0.5, 1.5),
    "prior, by season": _prior(_year, 0.4, 0.9),
    "concept, sudden": _concept(_step, 20, 70),
    "concept, gradual": _concept(_ramp, 40, 100),
    "concept, recurring": _concept(_alternating, 20, 70),
}
CALM: dict[str, Draw] = {"calm": _calm}
HARMLESS: dict[str, Draw] = {
    "a column that matters nothing": _harmless(COLUMNS - 1),
    "a column that is known right": _harmless(_THAT_MATTER - 1),
}
KINDS = DRIFTING | CALM | HARMLESS
"""Draws what changes; the sizes are of shifts that cost .01 to .1 nats."""

"""What a distance from the reference reaches where nothing has happened: its null distribution.

The distances come from windows of the reference's own day blocks; where there are too few days, from rows that are
drawn as if each were independent of the others, which those of a day are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.steps.profile_scan import REST

__all__ = ["NEW_LEVELS", "NULLS", "SMALLEST_EFFECT", "VALUES", "Chance", "Null", "block_nulls", "nulls_of", "split"]

# Below this Jensen-Shannon distance nothing is worth an alarm, however steady the reference: 2 % of new nulls
# give 0.1. (Evidently's threshold is 0.12 in this unit.)
SMALLEST_EFFECT = 0.1
# Of a distance that is nothing, the logarithm must not widen the level: a rare null in some windows, none in others.
_NOISE = SMALLEST_EFFECT / 10
# Windows that share almost nothing are an alarm, however restless the reference: the distance ends at 1.
_LARGEST_LEVEL = 0.9
_FEWEST_DAYS = 6
# Draws of rows, less of them where there are many levels: 200 give the mean to a fourteenth of the spread.
_DRAWS, _FEWEST_DRAWS, _DRAWN_COUNTS = 200, 50, 20_000

# With so many rows a bin a formula gives what chance gives to 5 %.
_DENSE = 20

# The distances that are watched of a column: of all its bins, of values against nulls, and of known levels against
# those that the other side never had.
VALUES, NULLS, NEW_LEVELS = "values", "nulls", "new levels"

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Chance(NamedTuple):
    """The squared distance that independent rows give: its mean, and the degrees of the chi-squared it is like."""

    square: float
    degrees: float

    def at(self, rate: float) -> float:
        """Return the squared distance that is passed at `rate`.

        Source: Wilson & Hilferty (1931), PNAS 17(12): the cube root of chi-squared is about normal.
        """
        if not self.square:
            return 0.0
        ninth = 2 / (9 * self.degrees)
        return self.square * max(1 - ninth + float(special.ndtri(1 - rate)) * math.sqrt(ninth), 0.0) ** 3


class Rare(NamedTuple):
    """The same of a share, of nulls or of new levels: `share` in the reference, at most about `likely` in truth."""

    share: float
    likely: float
    rows: int

    @property
    def square(self) -> float:
        """The mean squared distance; where less than a row is expected, the share itself."""
        return min(1 / (8 * math.log(2) * max(self.rows, 1)), self.share)

    def at(self, rate: float) -> float:
        """Return the squared distance that is passed at `rate`: chi-squared would be wrong for few rows of a kind."""
        rows = max(self.rows, 1)
        ends = np.ceil(special.bdtrik([rate / 2, 1 - rate / 2], rows, self.likely)) / rows
        found = np.clip(np.nan_to_num(ends), 0.0, 1.0)
        here = np.array([[1 - self.share, self.share]] * 2)
        return float(np.max(_squares(here, np.stack([1 - found, found], axis=1))))


@dataclass(frozen=True)
class Null:
    """What windows of the reference reach, and rows of the window that is judged.

    `distances` are those of the reference's windows, drawn down to the rows of the judged one, at least what counts
    as noise; of `rows` there are none. `effects`: their squares, of all their rows, less what independent rows
    give. `windows`: how many of them are independent.
    """

    by: Literal["blocks", "rows"]
    chance: Chance | Rare
    distances: Floats
    effects: Floats
    windows: float
    largest: float

    @property
    def degrees(self) -> float:
        """Degrees of freedom of a spread: windows overlap, so k of them count as 2k - 1."""
        return 2 * self.windows - 1

    def level(self, rate: float) -> float:
        """Return the distance that a further window passes at `rate`, from `SMALLEST_EFFECT` to `largest`.

        Of windows of blocks on the logarithm, as effects of days multiply.
        """
        if self.by == "rows":
            return self.passed(rate, 0.0)
        logs = np.log(self.distances)
        above = float(special.stdtrit(self.degrees, 1 - rate)) * math.sqrt(1 + 1 / self.windows)
        return self._kept(math.exp(min(logs.mean() + above * logs.std(ddof=1), 0.0)))

    def passed(self, rate: float, effect: float) -> float:
        """Return the distance of what rows pass at `rate` and an effect of the size `effect` together."""
        return self._kept(math.sqrt(self.chance.at(rate) + effect**2))

    def _kept(self, distance: float) -> float:
        return float(np.clip(distance, SMALLEST_EFFECT, self.largest))


def nulls_of(column: ColumnProfile, window_blocks: int, rows: int) -> dict[str, Null]:
    """Return the null of `VALUES`, of `NULLS` and, of levels, of `NEW_LEVELS`, for a window of so many blocks and rows.

    The reference's own rest bucket hides new levels.
    """
    found = block_nulls(column, window_blocks, rows)
    if found:
        return found
    nothing = np.zeros(0)
    chances = _chances(np.array([*column.counts, column.nulls], dtype=np.int64), rows, _kinds(column))
    return {kind: Null("rows", chance, nothing, nothing, math.inf, 1.0) for kind, chance in chances.items()}


def block_nulls(column: ColumnProfile, window_blocks: int, rows: int | None = None) -> dict[str, Null]:
    """Return the nulls of each contiguous window of `window_blocks` blocks against all other blocks.

    A window longer than a third of the reference is cut to a third. The window that is judged has `rows` rows, by
    default as many as they. Nothing where `window_blocks` is 0 or the column has fewer than 6 blocks.
    """
    blocks = np.array(column.blocks, dtype=np.int64).reshape(len(column.blocks), len(column.counts) + 1)
    window = min(window_blocks, len(blocks) // 3)
    if window < 1 or len(blocks) < _FEWEST_DAYS:
        return {}
    until = np.vstack([np.zeros(blocks.shape[1], np.int64), np.cumsum(blocks, axis=0)])
    inside = until[window:] - until[:-window]
    others = until[-1] - inside
    each = int(inside.sum(axis=1).mean())
    judged = each if rows is None else rows
    small = _thinned(inside, judged)
    chances = _chances(until[-1], judged, _kinds(column))
    usual = _chances(until[-1], each, _kinds(column))
    found = {}
    for kind in _kinds(column):
        distances = _distances(*_sides(kind, others, inside))
        fewer = distances if small is inside else _distances(*_sides(kind, others, small))
        # A column whose windows share nothing in any season, as one that only counts up, is never an alarm.
        largest = max(_LARGEST_LEVEL, float(distances.max()), math.sqrt(chances[kind].square))
        found[kind] = Null(
            "blocks",
            chances[kind],
            np.maximum(fewer, _NOISE),
            np.maximum(distances**2 - usual[kind].square, 0.0),
            len(blocks) / window,
            largest,
        )
    return found


def _kinds(column: ColumnProfile) -> tuple[str, ...]:
    closed = column.kind == "categorical" and column.levels[-1:] != (REST,)
    return (VALUES, NULLS, NEW_LEVELS) if closed else (VALUES, NULLS)


def _chances(counts: Counts, rows: int, kinds: tuple[str, ...]) -> dict[str, Chance | Rare]:
    """Return what `rows` rows reach."""
    total, nulls = int(counts.sum()), int(counts[-1])
    # Levels that were seen once tell how many more there are (Good 1953, Biometrika 40).
    once = int((counts[:-1] == 1).sum())
    found: dict[str, Chance | Rare] = {
        VALUES: _chance(counts, rows),
        NULLS: Rare(nulls / total, _at_most(nulls, total), rows),
        NEW_LEVELS: Rare(0.0, _at_most(once, total), rows),
    }
    return {kind: found[kind] for kind in kinds}


def _at_most(found: int, total: int) -> float:
    """The share two standard errors above the one that was found."""
    return min((found + 1 + 2 * math.sqrt(found + 1)) / total, 1.0)


def _chance(counts: Counts, rows: int) -> Chance:
    """Half a bin's squared relative error over ln 2, each way; where rows are few for the bins, from draws."""
    total = int(counts.sum())
    if rows >= _DENSE * counts.size:
        one = (1 / rows + 1 / total) / (8 * math.log(2))
        bins = max(float(np.minimum(counts / total / one, 1.0).sum()) - 1, 0.0)
        return Chance(one * bins, bins)
    rng = np.random.default_rng(0)
    draws = min(max(_DRAWN_COUNTS // counts.size, _FEWEST_DRAWS), _DRAWS)
    then, now = (rng.multinomial(size, counts / total, draws) for size in (total, rows))
    return _like_chi_squared(_distances(then, now) ** 2)


def _like_chi_squared(squares: Floats) -> Chance:
    mean, variance = float(squares.mean()), float(squares.var(ddof=1))
    return Chance(mean, 2 * mean**2 / variance) if variance else Chance(mean, math.inf)


def _thinned(windows: Counts, rows: int) -> Counts:
    """Draw `rows` rows, without replacement, of each window that has more: small windows differ more."""
    if not (windows.sum(axis=1) > rows).any():
        return windows
    rng = np.random.default_rng(0)
    return np.array(
        [rng.multivariate_hypergeometric(w, rows, method="marginals") if w.sum() > rows else w for w in windows]
    )


def _distances(reference: Counts, current: Counts) -> Floats:
    """Return the Jensen-Shannon distance of each row of counts; both of shape (windows, bins)."""
    r, c = (side / np.maximum(side.sum(axis=1, keepdims=True), 1) for side in (reference, current))
    return np.asarray(np.sqrt(_squares(r, c)), np.float64)


def _squares(r: Floats, c: Floats) -> Floats:
    middle = (r + c) / 2
    divergence = (special.rel_entr(r, middle) + special.rel_entr(c, middle)).sum(axis=1) / (2 * math.log(2))
    return np.asarray(np.clip(divergence, 0.0, 1.0), np.float64)


def split(counts: Counts) -> Counts:
    """Values and nulls alone, of counts that end with the nulls."""
    return np.stack([counts[..., :-1].sum(axis=-1), counts[..., -1]], axis=-1)


def _sides(kind: str, reference: Counts, current: Counts) -> tuple[Counts, Counts]:
    """Return the counts whose distance is of `kind`."""
    if kind == VALUES:
        return reference, current
    if kind == NULLS:
        return split(reference), split(current)
    new = np.where(reference[:, :-1] == 0, current[:, :-1], 0).sum(axis=1)
    known = current.sum(axis=1) - new
    return np.broadcast_to([1, 0], (len(new), 2)), np.stack([known, new], axis=1)

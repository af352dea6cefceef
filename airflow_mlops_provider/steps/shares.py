"""Where the rows of a drifted column were and where they are now: what a person looks at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from airflow_mlops_provider.contracts.monitor import Shares
from airflow_mlops_provider.contracts.profile import ColumnProfile

__all__ = ["shares"]

# Levels that a picture shows; the rest together is one more.
_MOST_LEVELS = 20
_NULL, _OTHERS = "null", "others"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of Python's calendar, either way: a column may hold dates beyond it.
_LAST_DATE = 60e9
# A text without limit has no place in a picture, nor in a ledger.
_LONGEST = 40


def shares(reference: ColumnProfile, current: ColumnProfile) -> Shares:
    """Return the shares of both sides in the reference's bins, or in their most frequent levels, then those of nulls.

    `current` is counted like `reference`; it may have one level more, of what the reference never had.
    """
    width = max(len(reference.counts), len(current.counts))
    then, now = (
        np.array([*side.counts, *[0] * (width - len(side.counts)), side.nulls], np.float64)
        for side in (reference, current)
    )
    then, now = then / max(then.sum(), 1), now / max(now.sum(), 1)
    if reference.kind == "categorical":
        places = [*(current.levels if len(current.levels) == width else reference.levels), _NULL]
        places, then, now = _frequent(places, then, now)
    else:
        places = [*_bins(reference), _NULL]
    places = [place if len(place) <= _LONGEST else f"{place[: _LONGEST - 1]}…" for place in places]
    return Shares(places=tuple(places), reference=_rounded(then), current=_rounded(now))


def _frequent(places: Sequence[str], then: np.ndarray, now: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    if len(places) - 1 <= _MOST_LEVELS:
        return list(places), then, now
    kept = np.sort(np.argsort(-np.maximum(then, now)[:-1], kind="stable")[:_MOST_LEVELS])
    rest = np.setdiff1d(np.arange(len(places) - 1), kept)
    sides = [np.array([*side[kept], side[rest].sum(), side[-1]]) for side in (then, now)]
    return [*(places[i] for i in kept), _OTHERS, _NULL], sides[0], sides[1]


def _bins(column: ColumnProfile) -> list[str]:
    edges = [_text(edge, column.kind) for edge in column.edges]
    if not edges:
        return ["any"]
    return [f"to {edges[0]}", *(f"{a} to {b}" for a, b in pairwise(edges)), f"over {edges[-1]}"]


def _text(edge: float, kind: str) -> str:
    if kind == "datetime" and abs(edge) < _LAST_DATE:
        return (_EPOCH + timedelta(seconds=edge)).isoformat(" ", "minutes")[:16]
    return f"{edge:.4g}"


def _rounded(found: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(share), 5) for share in found)

"""Which columns move with the season: found in the days of the reference itself."""

from __future__ import annotations

import math

import numpy as np

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.steps.distances import jensen_shannon
from airflow_mlops_provider.steps.nulls import SMALLEST_EFFECT

__all__ = ["moves_with_the_season"]

_FEWEST_DAYS = 14
_ORDERS = 100
# Times the size in other orders of the same days: one normal effect in ten thousand is larger by chance.
_TIMES = 3.9


def moves_with_the_season(column: ColumnProfile) -> bool:
    """Return whether the first and the second half of the reference's days differ more than its days by chance.

    The Jensen-Shannon distance of the halves is compared with the root mean square of it in 100 other orders of
    the same days (seeded), in which nothing lasts from day to day: what does, as weather does, is not chance. A
    difference below `SMALLEST_EFFECT` is no season. Dates and timestamps move with time by their nature. Fewer
    than 14 days tell nothing.
    """
    if column.kind == "datetime":
        return True
    if len(column.blocks) < _FEWEST_DAYS:
        return False
    blocks = np.array(column.blocks, dtype=np.float64)
    found = _halves(blocks)
    if found < SMALLEST_EFFECT:
        return False
    rng = np.random.default_rng(0)
    others = [_halves(rng.permutation(blocks)) ** 2 for _ in range(_ORDERS)]
    return found > _TIMES * math.sqrt(sum(others) / len(others))


def _halves(blocks: np.ndarray) -> float:
    first = blocks[: len(blocks) // 2].sum(axis=0)
    return jensen_shannon(first, blocks.sum(axis=0) - first)

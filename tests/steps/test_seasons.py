"""Columns that move with the season are told from those whose days differ by chance."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.steps.seasons import moves_with_the_season


def column(
    trend: float, *, effect: float = 0.0, days: int = 90, seed: int = 0, kind: str = "categorical"
) -> ColumnProfile:
    rng = np.random.default_rng(seed)
    moved = trend * np.linspace(-1, 1, days) + effect * rng.normal(size=days)
    shares = np.exp(np.outer(moved, np.linspace(-1, 1, 10)))
    counts = np.array([[*rng.multinomial(500, share / share.sum()), 0] for share in shares])
    totals = tuple(counts.sum(axis=0).tolist())
    return ColumnProfile(name="x", kind=kind, counts=totals[:-1], blocks=tuple(map(tuple, counts.tolist())))


def test_a_season_is_found() -> None:
    assert all(moves_with_the_season(column(1.0, effect=0.3, seed=seed)) for seed in range(10))


@pytest.mark.parametrize("effect", [0.0, 0.5, 2.0])
def test_days_that_differ_by_chance_are_no_season(effect: float) -> None:
    assert sum(moves_with_the_season(column(0.0, effect=effect, seed=seed)) for seed in range(100)) <= 1


def test_a_season_too_small_to_matter_is_none() -> None:
    assert not moves_with_the_season(column(0.1))


def test_few_days_tell_nothing() -> None:
    assert not moves_with_the_season(column(3.0, days=13))


def test_dates_move_by_their_nature() -> None:
    assert moves_with_the_season(column(0.0, days=1, kind="datetime"))

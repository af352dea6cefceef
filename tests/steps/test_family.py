"""Many columns together page at the rate of one, and what harms is still found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from airflow_mlops_provider.steps.alarms import drift
from airflow_mlops_provider.steps.family import family_levels
from airflow_mlops_provider.steps.nulls import SMALLEST_EFFECT, Chance, Null
from tests.bench_drift.streams import FAULTS, Stream, faulty

USUAL = Stream(columns=40, reference_days=60, window_days=5, windows=4, rows_a_day=500)


def null(effects: object, chance: float = 0.0, windows: float = 12.0) -> Null:
    found = np.asarray(effects, float) ** 2
    return Null("blocks", Chance(chance, 19.0), np.sqrt(found), found, windows, 1.0)


def effects(seed: int, size: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, 56)


@pytest.mark.parametrize(("effect", "most"), [(0.0, 1), (0.1, 2)], ids=["independent rows", "day effects"])
def test_a_family_pages_seldom_and_finds_what_harms(effect: float, most: int) -> None:
    pages, found = 0, []
    for seed in range(4):
        stream = Stream(**{**vars(USUAL), "effect": effect})
        reference, windows = stream.draw(seed)
        pages += sum(any(c.named for c in drift(reference, window, false_alarms=0.01)) for window in windows)
        for fault in FAULTS:
            window, place = faulty(windows[0], fault, np.random.default_rng(seed))
            found.append(drift(reference, window, false_alarms=0.01)[place].named)
    # 16 windows at 1 in 100; 40 columns with a level each at 1 in 100 would page in a third of them.
    assert pages <= most
    assert sum(found) >= 0.95 * len(found)


def test_the_level_grows_slowly_with_the_columns() -> None:
    nulls = {i: null(effects(i)) for i in range(100)}
    found = [family_levels(nulls, range(count), 0.01)[0] for count in (1, 10, 100)]
    assert found == sorted(found)
    assert SMALLEST_EFFECT < found[0] < found[-1] < 2 * found[0]


def test_few_windows_borrow_their_size_from_the_other_columns() -> None:
    alone = null(effects(0), windows=3.0)
    nulls = {i: null(effects(i), windows=3.0) for i in range(100)}
    assert family_levels(nulls, [0], 0.0001)[0] < 0.7 * family_levels({0: alone}, [0], 0.0001)[0]


def test_alone_it_is_the_effect_times_students_t() -> None:
    only = null(np.tile([0.05, -0.05], 28), windows=12.0)
    expected = 0.05 * special.stdtrit(23, 1 - 0.01 / 2)
    assert family_levels({"x": only}, ["x"], 0.01)["x"] == pytest.approx(expected)
    noisy = null(np.tile([0.05, -0.05], 28), chance=0.01)
    both = math.sqrt(expected**2 + Chance(0.01, 19.0).at(0.01))
    assert family_levels({"x": noisy}, ["x"], 0.01)["x"] == pytest.approx(both)


def test_effects_that_all_columns_share_in_rare_windows_raise_the_level() -> None:
    burst = np.where(np.arange(56) % 14 < 2, 0.15, 0.01)
    shared = family_levels({i: null(burst) for i in range(50)}, range(50), 0.01)[0]
    apart = family_levels({i: null(burst if i == 0 else effects(i, 0.058)) for i in range(50)}, range(50), 0.01)
    assert shared >= 0.9 * apart[0]
    assert shared > 0.15


def test_what_never_moved_is_at_the_smallest_effect() -> None:
    nulls = {i: null(effects(i)) for i in range(50)} | {"still": null(np.zeros(56))}
    assert family_levels(nulls, ["still", 0], 0.01)["still"] == SMALLEST_EFFECT


def test_rows_alone_share_the_rate() -> None:
    nothing = np.zeros(0)
    rows = {i: Null("rows", Chance(0.02, 19.0), nothing, nothing, math.inf, 1.0) for i in range(100)}
    assert family_levels(rows, range(100), 0.01)[0] == pytest.approx(math.sqrt(Chance(0.02, 19.0).at(0.0001)))

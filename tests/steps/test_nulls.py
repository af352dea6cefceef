"""What a distance reaches by chance, from rows and from windows of days."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.steps.distances import jensen_shannon
from airflow_mlops_provider.steps.nulls import NEW_LEVELS, NULLS, SMALLEST_EFFECT, VALUES, Chance, nulls_of
from airflow_mlops_provider.steps.profile import REST


def column(days: np.ndarray, *, timed: bool = True, **fields: object) -> ColumnProfile:
    """A column of counts, then nulls, a day."""
    *counts, nulls = days.sum(axis=0).tolist()
    given_fields = {"kind": "categorical", "levels": tuple(map(str, range(len(counts)))), **fields}
    blocks = tuple(map(tuple, days.tolist())) if timed else ()
    return ColumnProfile.model_validate(
        {"name": "x", "counts": counts, "nulls": nulls, "blocks": blocks, **given_fields}
    )


def days(count: int = 60, rows: int = 1000, bins: int = 10, seed: int = 0) -> np.ndarray:
    shares = np.random.default_rng(seed).dirichlet(np.full(bins, 3.0))
    return np.random.default_rng(seed).multinomial(rows, [*(shares * 0.98), 0.02], count)


@given(st.floats(1, 500), st.floats(1e-5, 0.3))
def test_the_quantile_is_that_of_chi_squared(degrees: float, rate: float) -> None:
    assert Chance(1.0, degrees).at(rate) == pytest.approx(stats.chi2.isf(rate, degrees) / degrees, rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 10, 40]))
def test_the_formula_of_many_rows_is_what_draws_give(seed: int, bins: int) -> None:
    reference, rng = column(days(bins=bins, seed=seed), timed=False), np.random.default_rng(seed)
    totals, rows = np.array([*reference.counts, reference.nulls]), 20 * (bins + 1)
    chance = nulls_of(reference, 0, rows)[VALUES].chance
    drawn = [jensen_shannon(totals, c) ** 2 for c in rng.multinomial(rows, totals / totals.sum(), 300)]
    assert chance.square == pytest.approx(np.mean(drawn), rel=0.3)


@pytest.mark.parametrize("timed", [False, True], ids=["rows", "blocks"])
@pytest.mark.parametrize("rows", [50, 200, 1000])
def test_false_alarms_of_small_windows_are_as_rare_as_stated(rows: int, timed: bool) -> None:
    alarms, rng = 0, np.random.default_rng(rows)
    for seed in range(40):
        reference = column(days(seed=seed), timed=timed)
        totals = np.array([*reference.counts, reference.nulls])
        level = nulls_of(reference, 1, rows)[VALUES].level(0.05)
        alarms += sum(jensen_shannon(totals, c) > level for c in rng.multinomial(rows, totals / totals.sum(), 10))
    # 20 expected of 400, none of 1000 rows, whose distances are all below the smallest effect.
    assert alarms <= 34


@pytest.mark.parametrize("timed", [False, True], ids=["rows", "blocks"])
def test_the_level_grows_as_windows_get_smaller(timed: bool) -> None:
    found = [nulls_of(column(days(), timed=timed), 1, rows)[VALUES].level(0.01) for rows in (20, 50, 200, 10**6)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4
    assert found[-1] == SMALLEST_EFFECT


def test_days_and_their_rows_say_which_null_it_is() -> None:
    timed, short = column(days()), column(days(5))
    assert [null.by for null in nulls_of(timed, 7, 100).values()] == ["blocks"] * 3
    assert nulls_of(timed, 0, 100)[VALUES].by == nulls_of(short, 1, 100)[VALUES].by == "rows"


def test_a_column_that_only_counts_up_is_never_over_its_level() -> None:
    counting = column(np.column_stack([np.eye(30, dtype=int) * 100, np.zeros(30, int)]))
    assert nulls_of(counting, 1, 100)[VALUES].level(0.01) == 1.0


def test_new_levels_are_usual_where_they_were() -> None:
    closed, counting = column(days()), column(np.column_stack([np.eye(30, dtype=int) * 100, np.zeros(30, int)]))
    assert nulls_of(closed, 1, 100)[NEW_LEVELS].level(0.01) == SMALLEST_EFFECT
    assert nulls_of(counting, 1, 100)[NEW_LEVELS].level(0.01) == 1.0


def test_a_rest_hides_new_levels_and_numbers_have_none() -> None:
    rest = column(days(bins=2), levels=("a", REST))
    number = column(days(bins=2), kind="numeric", levels=(), edges=(1.0,), sums=(1.0, 2.0))
    assert set(nulls_of(rest, 1, 100)) == set(nulls_of(number, 0, 100)) == {VALUES, NULLS}

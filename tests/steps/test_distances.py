from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance
from scipy.stats import ks_2samp, wasserstein_distance

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.distances import (
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    measure,
    psi,
    wasserstein_normed,
)
from airflow_mlops_provider.steps.profile import build_profile, profile_like

# Evidently and its dependencies warn at import.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

pairs = st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 500), min_size=n, max_size=n)] * 2))
counts = pairs.filter(lambda pair: min(map(sum, pair)) > 0)
samples = st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=60)


def columns(reference: Any, current: Any, **options: Any) -> tuple[ColumnProfile, ColumnProfile]:
    with duckdb.connect() as con:
        con.register("reference", pa.table({"x": reference}))
        con.register("current", pa.table({"x": current}))
        then = build_profile(con, "reference", ["x"], timestamp=None, timezone="UTC", **options)
        now = profile_like(con, "current", then, timestamp=None, timezone="UTC")
    return then.columns[0], now.columns[0]


@given(counts)
def test_jensen_shannon_is_scipys(pair: tuple[list[int], list[int]]) -> None:
    assert jensen_shannon(*pair) == pytest.approx(distance.jensenshannon(*pair, base=2), abs=1e-7)


@given(counts)
def test_psi_is_the_sum_over_the_shares(pair: tuple[list[int], list[int]]) -> None:
    r, c = (np.maximum(np.array(side) / sum(side), 1e-4) for side in pair)
    assert psi(*pair) == pytest.approx(sum((b - a) * np.log(b / a) for a, b in zip(r, c, strict=True)))
    assert psi([1, 0], [1, 1], floor=0.01) == pytest.approx((0.5 - 0.01) * np.log(50) + 0.5 * np.log(2))


@given(counts, st.integers(2, 9))
def test_they_are_symmetric_at_least_0_and_blind_to_the_number_of_rows(
    pair: tuple[list[int], list[int]], times: int
) -> None:
    one, other = pair
    for measure_of in (psi, jensen_shannon, hellinger, kolmogorov_smirnov):
        found = measure_of(one, other)
        assert found >= 0
        assert measure_of(one, one) == 0
        assert measure_of(other, one) == pytest.approx(found, abs=1e-9)
        assert measure_of(one, [n * times for n in other]) == pytest.approx(found, abs=1e-7)
    assert max(jensen_shannon(one, other), hellinger(one, other), kolmogorov_smirnov(one, other)) <= 1


def test_nothing_shared_is_a_distance_of_1() -> None:
    assert jensen_shannon([3, 0], [0, 5]) == hellinger([3, 0], [0, 5]) == kolmogorov_smirnov([3, 0], [0, 5]) == 1.0


@given(counts)
def test_hellinger_is_from_the_overlap_and_bounds_the_total_variation(pair: tuple[list[int], list[int]]) -> None:
    r, c = (np.array(side) / sum(side) for side in pair)
    found, variation = hellinger(*pair), np.abs(r - c).sum() / 2
    assert found**2 == pytest.approx(1 - np.sqrt(r * c).sum(), abs=1e-9)
    assert found**2 - 1e-9 <= variation <= np.sqrt(2) * found + 1e-9


@given(samples, samples, st.lists(st.integers(-60, 60), max_size=6))
def test_kolmogorov_smirnov_misses_at_most_the_lesser_share_of_a_bin(
    a: list[float], b: list[float], at: list[int]
) -> None:
    edges = np.unique(np.array(at, float))
    one, other = exact_sides(a, edges)[0], exact_sides(b, edges)[0]
    found, exact = kolmogorov_smirnov(one, other), ks_2samp(a, b, method="asymp").statistic
    missed = np.minimum(one / one.sum(), other / other.sum()).max()
    assert found - 1e-9 <= exact <= found + missed + 1e-9
    every = np.unique([*a, *b])
    assert kolmogorov_smirnov(exact_sides(a, every)[0], exact_sides(b, every)[0]) == pytest.approx(exact, abs=1e-9)


def exact_sides(values: list[float], edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    place = np.searchsorted(edges, values, side="left")
    return np.bincount(place, minlength=edges.size + 1), np.bincount(place, values, minlength=edges.size + 1)


@given(samples, samples, st.floats(0.1, 10), st.sampled_from([0.0, 1e9]))
def test_wasserstein_is_scipys_where_no_bin_hides_a_crossing(
    a: list[float], b: list[float], scale: float, far: float
) -> None:
    a, b = [v + far for v in a], [v + far for v in b]
    edges = np.unique([*a, *b])
    found = wasserstein_normed(edges, exact_sides(a, edges), exact_sides(b, edges), scale)
    assert found == pytest.approx(wasserstein_distance(a, b) / scale, abs=1e-9 if not far else 1e-4)


@given(samples, samples, st.lists(st.integers(-60, 60), max_size=6))
def test_wasserstein_from_any_bins_is_never_too_large_and_sees_the_means(
    a: list[float], b: list[float], at: list[int]
) -> None:
    edges = np.unique(np.array(at, float))
    found = wasserstein_normed(edges, exact_sides(a, edges), exact_sides(b, edges), 1.0)
    assert abs(np.mean(a) - np.mean(b)) - 1e-9 <= found <= wasserstein_distance(a, b) + 1e-9


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([("normal", 0.01), ("lognormal", 0.05), ("student", 0.1)]),
    st.floats(0, 1),
)
def test_wasserstein_from_20_quantile_bins_is_close_to_scipys(
    seed: int, shape: tuple[str, float], shift: float
) -> None:
    rng = np.random.default_rng(seed)
    draw = {"normal": rng.normal, "lognormal": rng.lognormal, "student": lambda size: rng.standard_t(3, size)}[shape[0]]
    then, now = draw(size=2000), draw(size=3000) + shift
    exact = wasserstein_distance(then, now) / then.std()
    assert exact - shape[1] <= measure(*columns(then, now))[2] <= exact + 1e-9


@pytest.mark.parametrize("kind", ["number", "category"])
def test_a_growing_shift_is_a_growing_distance_and_none_is_0(kind: str) -> None:
    base = np.random.default_rng(0).integers(0, 100, 4000)
    cast = (lambda v: v.astype(float)) if kind == "number" else (lambda v: (v // 10).astype(str))
    found = [measure(*columns(cast(base), cast(base + step))) for step in (0, 10, 20, 40, 80)]
    assert found[0][:2] == (0, 0)
    grown = [values for values in zip(*found, strict=True) if values[0] is not None]
    assert len(grown) == (5 if kind == "number" else 4)
    for values in grown:
        assert values[0] == pytest.approx(0, abs=1e-9)
        assert (np.diff(values) > 0).all()


def test_a_jump_of_nulls_is_found_although_the_values_are_the_same() -> None:
    then, now = np.arange(1000.0), np.where(np.arange(1000) % 2, np.nan, np.arange(1000.0))
    population, js, wasserstein, *_ = measure(*columns(then, now))
    assert population > 1
    assert js > 0.4
    assert wasserstein == pytest.approx(0, abs=0.01)


def test_a_new_level_is_found() -> None:
    found = measure(*columns(["a", "b"], ["a", "c", "c", None]))
    sides = [1, 1, 0, 0], [1, 0, 2, 1]
    assert (found.psi, found.jensen_shannon, found.hellinger) == (
        psi(*sides),
        jensen_shannon(*sides),
        hellinger(*sides),
    )
    assert (found.new_levels, found.kolmogorov_smirnov) == (0.5, None)


def test_a_rest_bucket_hides_new_levels_and_numbers_have_none() -> None:
    assert measure(*columns(["a", "a", "b", "c"], ["d"], max_levels=1)).new_levels is None
    assert measure(*columns([1.0, 2.0], [3.0])).new_levels is None


def test_a_constant_is_measured_over_a_thousandth() -> None:
    assert measure(*columns([5.0, 5.0], [5.5, 5.5]))[:3] == (psi([0, 1, 0], [0, 0, 1]), 1.0, pytest.approx(500.0))


def test_no_value_has_no_wasserstein() -> None:
    assert measure(*columns([1.0, 2.0], pa.nulls(2, pa.float64())))[2] is None
    assert measure(*columns(pa.nulls(2, pa.float64()), [1.0, 2.0]))[2] is None


def test_it_agrees_with_evidently() -> None:
    from evidently import Report
    from evidently.metrics import ValueDrift

    rng = np.random.default_rng(0)
    then = pd.DataFrame(
        {"normal": rng.normal(size=3000), "skewed": rng.lognormal(size=3000), "code": rng.choice(list("abcd"), 3000)}
    )
    now = pd.DataFrame(
        {
            "normal": rng.normal(0.3, 1.2, 4000),
            "skewed": rng.lognormal(0.2, size=4000),
            "code": rng.choice(list("abce"), 4000),
        }
    )
    methods = [
        ("normal", "wasserstein"),
        ("skewed", "wasserstein"),
        ("code", "jensenshannon"),
        ("code", "hellinger"),
        ("code", "psi"),
    ]
    report = Report([ValueDrift(column=name, method=method) for name, method in methods]).run(now, then)
    theirs = [metric["value"] for metric in report.dict()["metrics"]]
    ours = {name: measure(*columns(then[name], now[name])) for name in then}
    assert theirs[:2] == pytest.approx([ours["normal"].wasserstein, ours["skewed"].wasserstein], abs=0.002)
    # Evidently's logarithm is natural.
    assert theirs[2] == pytest.approx(ours["code"].jensen_shannon * np.sqrt(np.log(2)), abs=1e-6)
    assert theirs[3] == pytest.approx(ours["code"].hellinger, abs=1e-6)
    assert theirs[4] == pytest.approx(ours["code"].psi, abs=1e-6)
    for name in ("normal", "skewed"):
        exact = ks_2samp(then[name], now[name]).statistic
        assert 0 <= exact - ours[name].kolmogorov_smirnov <= 0.005


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psi([1, 2], [1]), "different bins"),
        (lambda: jensen_shannon([0, 0], [1, 2]), "no row"),
        (lambda: psi([1], [0]), "no row"),
        (lambda: wasserstein_normed([], ([1], [1.0]), ([1], [1.0]), 0.0), "scale"),
        (lambda: wasserstein_normed([1.0], ([1], [1.0]), ([1], [1.0]), 1.0), "1 bins need 1 sums and 0 edges"),
        (lambda: measure(columns([1.0, 2.0], [1.0])[0], columns([2.0, 3.0], [1.0])[0]), "not counted in the bins"),
        (lambda: measure(columns(["a"], ["a"])[0], columns(["b"], ["b"])[0]), "not counted in the bins"),
        (lambda: measure(columns([1.0, 2.0], [1.0])[0], columns(range(9), [1])[0]), "2 bins against 9"),
        (lambda: measure(columns(["a"], ["a"])[0], columns(["a", "b", "c"], ["a"])[0]), "1 bins against 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()

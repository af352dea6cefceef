from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.metrics import Influence, daily_difference, estimate, lower_is_better, row_loss

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 10), st.integers(0, 6)), min_size=2, max_size=80)


def arrays(drawn: list[tuple[bool, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, tenths, days = (np.array(part) for part in zip(*drawn, strict=True))
    return y.astype(float), tenths / 10, days


THEIRS = {
    "log_loss": lambda y, p: sklearn_metrics.log_loss(y, p, labels=[0, 1]),
    "brier": sklearn_metrics.brier_score_loss,
    "mae": sklearn_metrics.mean_absolute_error,
    "rmse": sklearn_metrics.root_mean_squared_error,
    "calibration_gap": lambda y, p: p.mean() - y.mean(),
    "roc_auc": sklearn_metrics.roc_auc_score,
    "average_precision": sklearn_metrics.average_precision_score,
    "neg_mean_absolute_error": lambda y, p: -np.abs(y - (p >= 0.5)).mean(),
    "accuracy": lambda y, p: (y == (p >= 0.5)).mean(),
}


@settings(max_examples=40, deadline=None)
@given(rows.filter(lambda drawn: len({late for late, _, _ in drawn}) == 2))
@pytest.mark.parametrize(
    "metric", [m for m in THEIRS if m not in ("average_precision", "accuracy", "neg_mean_absolute_error")]
)
def test_values_are_scikit_learns_whatever_the_days(metric: str, drawn: list[tuple[bool, int, int]]) -> None:
    y, p, days = arrays(drawn)
    found = estimate(metric, y, p, days)
    assert found.value == pytest.approx(THEIRS[metric](y, p), abs=1e-9)
    assert (found.rows, found.blocks) == (len(y), len(set(days)))
    assert (found.se is None) is (found.blocks < 2)


@pytest.mark.parametrize("metric", ["average_precision", "accuracy", "neg_mean_absolute_error"])
def test_any_scorer_of_scikit_learn_can_be_named(metric: str) -> None:
    y, p, days = world(np.random.default_rng(0), days=8)
    found = estimate(metric, y, p, days)
    assert found.value == pytest.approx(THEIRS[metric](y, p))
    assert found.se is not None
    assert found.se > 0
    assert estimate(metric, y, p, np.zeros_like(days)).se is None


def test_a_class_is_predicted_from_one_half_on_and_two_days_have_an_error() -> None:
    found = estimate("accuracy", [1.0, 0.0, 1.0], [0.5, 0.4, 0.1], [1, 2, 2])
    assert (found.value, found.blocks) == (pytest.approx(2 / 3), 2)
    assert found.se == pytest.approx(0.25)
    assert Influence(0, np.array([1.0, -1.0]), 2).spread() == pytest.approx((2.0, 1.0))


def test_scorers_of_numbers_take_the_predictions_as_they_are() -> None:
    y, p = np.array([3.0, -1.0, 8.0, 4.0]), np.array([2.5, 0.0, 8.0, 5.0])
    assert estimate("r2", y, p, [1, 1, 2, 2]).value == pytest.approx(sklearn_metrics.r2_score(y, p))


def test_more_days_than_groups_are_grouped() -> None:
    y, p, _ = world(np.random.default_rng(0), days=10)
    found = estimate("accuracy", y, p, np.arange(y.size))
    assert found.blocks == 200
    assert found.se == pytest.approx(np.sqrt(found.value * (1 - found.value) / y.size), rel=0.3)


def world(rng: np.random.Generator, days: int, spread: float = 0.0, persistence: float = 0.0) -> Any:
    """Outcomes whose rate has a daily effect, and the probabilities of a model that knows nothing of it."""
    effect = np.zeros(days)
    for day in range(days):
        effect[day] = rng.normal() * np.sqrt(1 - persistence**2) + persistence * (effect[day - 1] if day else 0)
    day = np.repeat(np.arange(days), 100)
    x = rng.normal(size=day.size)
    y = rng.random(day.size) < 1 / (1 + np.exp(-(x - 1 + spread * effect[day])))
    return y.astype(float), 1 / (1 + np.exp(-(x - 1))), day


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "calibration_gap", "calibration_slope", "rmse", "brier"])
@pytest.mark.parametrize(("spread", "persistence"), [(0.0, 0.0), (0.6, 0.0), (0.6, 0.4)])
def test_the_standard_error_is_the_spread_over_repetitions(metric: str, spread: float, persistence: float) -> None:
    rng = np.random.default_rng(0)
    found = [estimate(metric, *world(rng, 30, spread, persistence)) for _ in range(150)]
    actual, said = np.std([e.value for e in found]), np.sqrt(np.mean([e.se**2 for e in found]))
    assert 0.8 < said / actual < 1.3


def test_the_order_of_the_rows_does_not_matter_and_that_of_the_days_does() -> None:
    y, p, days = world(np.random.default_rng(0), 20, 1.0, 0.9)
    mixed = np.random.default_rng(1).permutation(y.size)
    one, other = estimate("brier", y, p, days), estimate("brier", y[mixed], p[mixed], days[mixed])
    assert (one.value, one.se) == pytest.approx((other.value, other.se))
    relabelled = np.random.default_rng(2).permutation(20)[days]
    assert estimate("brier", y, p, relabelled).se < one.se


def test_the_variance_counts_neighbours_upwards_only() -> None:
    run, alternating = np.array([1.0, 1.0, -1.0, -1.0]), np.array([1.0, -1.0] * 5)
    assert Influence(0, run, 4).spread() == pytest.approx((4.0, 1.0))  # the factor at its most, D / 2
    assert Influence(0, alternating, 10).spread() == pytest.approx((np.sqrt(10 / 0.9), 9.0))  # at its least, 1


def test_the_bias_of_the_correlation_is_given_back() -> None:
    parts = np.array([1.0, 1.0, -1.0, -1.0] * 3)
    r = (6 - 5) / 12 * 12 / 11
    factor = 1 + 2 * (r + (1 + 4 * r) / 12)
    assert Influence(0, parts, 12).spread() == pytest.approx(
        (np.sqrt(12 * factor / (1 - factor / 12)), 12 / factor - 1)
    )


def test_no_difference_has_no_error_and_one_day_none_at_all() -> None:
    assert Influence(0.5, np.zeros(4), 9).spread() == (0.0, 3.0)
    assert Influence(0.5, np.zeros(1), 9).spread() is None


def test_the_daily_difference_is_of_the_rows() -> None:
    found = daily_difference([2.0, 2.0, 2.0, 5.0], [1.0, 1.0, 1.0, 1.0], [1, 1, 1, 2])
    assert (found.value, found.rows, found.blocks) == (1.75, 4, 2)
    assert daily_difference([1.0, 2.0], [2.0, 4.0], ["a", "b"]).value == -1.5


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1))
def test_the_mean_row_loss_is_the_metric(drawn: list[tuple[bool, float]]) -> None:
    y, p = (np.array(part, float) for part in zip(*drawn, strict=True))
    losses = row_loss("classification", y, p)
    assert np.isfinite(losses).all()
    assert losses.mean() == pytest.approx(THEIRS["log_loss"](y, p))
    assert row_loss("regression", y, p).mean() == pytest.approx(
        THEIRS["brier"](y, p) if len(set(y)) > 1 else ((y - p) ** 2).mean()
    )


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(["1", "10", "12.5", "50", "99"]))
def test_precision_is_the_rate_among_the_highest_whatever_the_order(
    drawn: list[tuple[bool, int, int]], percent: str
) -> None:
    y, p, days = arrays(drawn)
    metric = f"precision_at_{percent}_percent"
    found = estimate(metric, y, p, days).value
    # Every order of rows that are alike, on average: the rate of each score's rows for as many as the budget holds.
    budget = left = max(float(percent) / 100 * y.size, 1.0)
    hits = 0.0
    for score in sorted(set(p), reverse=True):
        taken = min(left, (p == score).sum())
        hits, left = hits + taken * y[p == score].mean(), left - taken
    assert found == pytest.approx(hits / budget)
    mixed = np.random.default_rng(0).permutation(y.size)
    assert estimate(metric, y[mixed], p[mixed], days[mixed]).value == pytest.approx(found)


@pytest.mark.parametrize(("percent", "spread", "persistence"), [("1", 0.0, 0.0), ("5", 0.6, 0.0), ("20", 0.6, 0.4)])
def test_precision_at_a_budget_has_the_spread_over_repetitions(percent: str, spread: float, persistence: float) -> None:
    rng, metric = np.random.default_rng(0), f"precision_at_{percent}_percent"
    found = [estimate(metric, *world(rng, 30, spread, persistence)) for _ in range(150)]
    actual, said = np.std([e.value for e in found]), np.sqrt(np.mean([e.se**2 for e in found]))
    assert 0.8 < said / actual < 1.3
    assert not lower_is_better(metric)


def test_what_is_better_is_known() -> None:
    assert [m for m in THEIRS if lower_is_better(m)] == ["log_loss", "brier", "mae", "rmse", "calibration_gap"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("brier", [1.0], [0.5, 0.5], [1]), DataError, "one length"),
        (("brier", [], [], []), DataError, "at least 1"),
        (("brier", [1.0, np.nan], [0.5, 0.5], [1, 1]), DataError, "finite"),
        (("brier", [1.0, 2.0], [0.5, 0.5], [1, 1]), DataError, "outcomes of 0 and 1 and probabilities"),
        (("log_loss", [1.0, 0.0], [0.5, 1.5], [1, 1]), DataError, "outcomes of 0 and 1 and probabilities"),
        (("roc_auc", [1.0, 1.0], [0.5, 0.4], [1, 1]), DataError, "2 of 2 rows are positive"),
        (("nope", [1.0], [0.5], [1]), ConfigError, "unknown metric 'nope'; there are brier, calibration_gap"),
        (("precision_at_1_percent", [1.0, 2.0], [0.5, 0.5], [1, 1]), DataError, "outcomes of 0 and 1"),
        (("precision_at_0_percent", [1.0, 0.0], [0.5, 0.5], [1, 1]), ConfigError, "above 0 and below 100 percent"),
        (("neg_log_loss", [3.0, 4.0], [2.0, 5.0], [1, 1]), DataError, "neg_log_loss cannot be computed"),
    ],
)
def test_bad_input_is_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        estimate(*arguments)


def test_the_slope_is_that_of_a_logistic_regression_on_the_logit() -> None:
    y, p, days = world(np.random.default_rng(4), days=30)
    logit = np.log(p / (1 - p))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit[:, None], y)
    assert estimate("calibration_slope", y, p, days).value == pytest.approx(theirs.coef_[0, 0], rel=1e-4)


def test_the_slope_of_a_model_that_is_too_sure_is_below_one() -> None:
    y, p, days = world(np.random.default_rng(5), days=30)
    sure = 1 / (1 + (1 / p - 1) ** 2)
    plain, doubled = (estimate("calibration_slope", y, guess, days) for guess in (p, sure))
    assert doubled.value == pytest.approx(plain.value / 2)
    assert doubled.se == pytest.approx(plain.se / 2)


@pytest.mark.parametrize(
    ("y", "p"), [([1.0, 1.0], [0.2, 0.3]), ([0.0, 1.0], [0.5, 0.5]), ([0.0, 0.0, 1.0], [0.1, 0.2, 0.9])]
)
def test_a_slope_that_is_not_defined_is_said(y: list[float], p: list[float]) -> None:
    with pytest.raises(DataError, match="calibration_slope"):
        estimate("calibration_slope", y, p, np.zeros(len(y)))


@pytest.mark.parametrize(("factor", "shift"), [(3, 0), (2, 2), (1, 3), (4, -1)])
def test_a_slope_is_found_however_wrong_the_predictions_are(factor: float, shift: float) -> None:
    y, p, days = world(np.random.default_rng(6), days=30)
    plain = estimate("calibration_slope", y, p, days).value
    wrong = 1 / (1 + np.exp(-(factor * np.log(p / (1 - p)) + shift)))
    assert estimate("calibration_slope", y, wrong, days).value == pytest.approx(plain / factor, rel=1e-3)


def test_certain_predictions_that_miss_have_a_slope() -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0] * 50)
    p = np.array([0.0, 1.0, 0.0, 1.0] * 25 + [0.0, 1.0, 1.0, 0.0] * 25)
    assert estimate("calibration_slope", y, p, np.arange(200) // 20).value < 0.1

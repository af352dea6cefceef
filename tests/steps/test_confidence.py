"""What predictions say of themselves is what comes, where they are calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from airflow_mlops_provider.steps.confidence import ESTIMABLE, expected

THEIRS = {"log_loss": log_loss, "brier": brier_score_loss, "roc_auc": roc_auc_score}


@pytest.mark.parametrize("metric", ESTIMABLE)
def test_it_is_the_mean_of_what_may_come(metric):
    draw = np.random.default_rng(3)
    p = draw.beta(1, 3, 400)
    came = [THEIRS[metric](draw.random(400) < p, p) for _ in range(400)]
    found = expected([metric], p, np.arange(400) // 40)[metric]
    assert found.value == pytest.approx(np.mean(came), abs=4 * np.std(came) / 20)
    assert (found.rows, found.blocks) == (400, 10)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms())
def test_the_order_of_the_rows_does_not_matter(p, order):
    shuffled = sorted(p, key=lambda _: order.random())
    one, other = (expected(ESTIMABLE, values, np.zeros(len(p))) for values in (p, shuffled))
    assert one.keys() == other.keys()
    assert [m.value for m in one.values()] == pytest.approx([m.value for m in other.values()])


def test_the_area_is_that_of_every_pair():
    p = np.array([0.1, 0.4, 0.4, 0.9])
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    weights = np.array([p[i] * (1 - p[j]) for i, j in pairs])
    ahead = np.array([(p[i] > p[j]) + (p[i] == p[j]) / 2 for i, j in pairs])
    found = expected(["roc_auc"], p, np.zeros(4))["roc_auc"]
    assert found.value == pytest.approx(weights @ ahead / weights.sum())
    assert found.se is None


@pytest.mark.parametrize("p", [[], [0.2, 1.2], [0.3, float("nan")]])
def test_what_is_no_probability_says_nothing(p):
    assert expected(ESTIMABLE, p, np.zeros(len(p))) == {}


def test_what_needs_outcomes_is_not_guessed():
    assert {*expected(["calibration_gap", "log_loss", "rmse"], [0.5, 0.2], [0, 1])} == {"log_loss"}


def test_a_certain_model_has_no_area():
    assert {*expected(ESTIMABLE, [1.0, 1.0], [0, 1])} == {"log_loss", "brier"}

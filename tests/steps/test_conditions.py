"""A condition with `alpha` asks only where the bound is crossed by more than chance, whatever the batches' length."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from airflow_mlops_provider.contracts.decide import WHEN, Condition, Observation, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.steps.conditions import crossings, figures
from airflow_mlops_provider.steps.governor import decide
from airflow_mlops_provider.steps.metrics import estimate

START = datetime(2013, 1, 1, tzinfo=UTC)
SURE = {"calibration_gap": Condition(abs_above=0.01, alpha=0.001)}


def seen(day: float, gap: MetricEstimate, **more) -> Observation:
    end = START + timedelta(days=day)
    return Observation(
        batch=f"b{day:g}", end=end, labelled=gap.rows, version="1", metrics={"calibration_gap": gap}, **more
    )


def gap(value: float, se: float | None, *, df: float | None = 29, blocks: int = 30) -> MetricEstimate:
    return MetricEstimate(value=value, se=se, df=df, rows=900, blocks=blocks)


def asked(*observations: Observation, when=SURE) -> bool:
    return bool(crossings(figures(observations, when), when))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bound_is_crossed_where_chance_would_not_go(sign):
    least = 0.01 + 0.005 * stats.t.ppf(0.999, 29)
    assert asked(seen(30, gap(sign * (least + 1e-9), 0.005)))
    assert not asked(seen(30, gap(sign * (least - 1e-9), 0.005)))


def test_without_alpha_the_newest_batch_alone_is_judged():
    plain = {"calibration_gap": Condition(abs_above=0.01)}
    days = [seen(day, gap(0.0, None, df=None, blocks=1)) for day in range(1, 28)]
    last = seen(28, gap(0.02, None, df=None, blocks=1))
    assert asked(*days, last, when=plain)
    assert not asked(*days, last)


def days_of(values, first=1):
    return [seen(first + i, gap(value, None, df=None, blocks=1)) for i, value in enumerate(values)]


def test_batches_of_a_day_are_judged_together():
    rng = np.random.default_rng(0)
    assert asked(*days_of(0.05 + rng.normal(0, 0.01, 21)))
    assert not asked(*days_of(0.5 + rng.normal(0, 0.01, 6)))
    assert not asked(*days_of(rng.normal(0, 0.01, 28)))


def test_days_that_are_all_alike_leave_nothing_to_chance():
    assert asked(*days_of([0.02] * 7))
    assert not asked(*days_of([0.005] * 28))


def test_only_the_last_four_weeks_count():
    rng = np.random.default_rng(0)
    assert not asked(*days_of([*(0.2 + rng.normal(0, 0.01, 30)), *rng.normal(0, 0.001, 28)]))


def test_what_happened_a_fortnight_ago_is_not_drowned_by_the_days_before():
    rng = np.random.default_rng(0)
    assert asked(*days_of([*rng.normal(0, 0.005, 60), *(0.06 + rng.normal(0, 0.005, 14))]))


def test_errors_of_weeks_add_up():
    weeks = [seen(7 * i, gap(0.02 + 0.001 * i, 0.004, df=6, blocks=7)) for i in (1, 2, 3, 4)]
    found = figures(weeks, SURE)["calibration_gap"]
    assert found.value == pytest.approx(0.0225)
    assert found.se == pytest.approx(0.004 / 2)
    assert found.df == pytest.approx(24)
    assert (found.rows, found.blocks) == (3600, 28)


def test_a_month_stands_for_itself():
    months = [seen(31, gap(0.5, 0.001)), seen(59, gap(0.0, 0.001))]
    assert figures(months, SURE)["calibration_gap"] == months[1].metrics["calibration_gap"]


def test_a_week_whose_outcomes_are_of_one_day_silences_nobody():
    weeks = [seen(7 * i, gap(0.08, 0.01, df=6, blocks=7)) for i in (1, 2, 3)]
    assert asked(*weeks, seen(28, gap(0.08, None, df=None, blocks=1)))


def test_hours_of_a_day_are_one_block():
    rng = np.random.default_rng(0)
    days = np.repeat(0.05 + rng.normal(0, 0.01, 28), 24)
    hours = [seen((i + 1) / 24, gap(value, None, df=None, blocks=1)) for i, value in enumerate(days)]
    assert figures(hours, SURE)["calibration_gap"].blocks in (7, 14, 28)
    assert asked(*hours)
    assert not asked(*hours[: 6 * 24])


def test_days_that_resemble_their_neighbours_ask_seldom():
    """A correlation of .5 from day to day, three years of which each has 13 times 28 days."""
    rng, gaps, now = np.random.default_rng(1), [], 0.0
    for _ in range(3 * 365):
        now = 0.5 * now + rng.normal(0, 0.03 * np.sqrt(0.75))
        gaps.append(now)
    days = days_of(gaps)
    assert not [i for i in range(6, len(days)) if asked(*days[max(i - 28, 0) : i + 1])]


def test_alpha_needs_a_bound_and_a_figure_with_an_error():
    with pytest.raises(ValidationError, match="give above, below or abs_above"):
        Condition(alpha=0.01)
    with pytest.raises(ValidationError, match="max_effect has no standard error"):
        RetrainPolicy(when={"max_effect": Condition(above=0.5, alpha=0.01)})


@pytest.mark.parametrize("days", [1, 7, 28])
def test_calm_streams_ask_no_oftener_than_alpha(days):
    """Day effects of .1 in the logit, of which a day's rows share all; alpha is 5 % here, so that N = 400 tells."""
    when = {"calibration_gap": Condition(abs_above=0.0, alpha=0.025)}
    rng, count = np.random.default_rng(days), 0
    for _ in range(400):
        batches = []
        for first in range(0, 28, days):
            day = np.repeat(np.arange(days), 100)
            p = 1 / (1 + np.exp(1 - rng.normal(size=day.size)))
            shifted = 1 / (1 + np.exp(-np.log(p / (1 - p)) - rng.normal(0, 0.1, days)[day]))
            y = rng.random(day.size) < shifted
            batches.append(seen(first + days, estimate("calibration_gap", y.astype(float), p, day)))
        count += asked(*batches, when=when)
    # 5 % of 400 two-sided, and three standard errors.
    assert count <= 20 + 3 * np.sqrt(400 * 0.05 * 0.95)


def test_where_nobody_says_what_asks_gap_and_slope_do():
    policy = RetrainPolicy()
    assert policy.when == WHEN
    metrics = {
        "calibration_gap": MetricEstimate(value=0.0, se=0.004, df=29, rows=900, blocks=30),
        "calibration_slope": MetricEstimate(value=0.7, se=0.04, df=29, rows=900, blocks=30),
    }
    far = seen(30, gap(0.0, 0.004)).model_copy(update={"metrics": metrics})
    found = decide([far], [], policy, pipeline="p", champion="1")
    assert found.decision == "retrain"
    assert found.reason.startswith(
        "calibration_slope +0.7000 (se 0.0400), allowed at most 1.05 and at least 0.95 "
        "but for chance at 0.001, in 30 days; "
    )
    near = far.model_copy(
        update={
            "metrics": {**metrics, "calibration_slope": metrics["calibration_gap"].model_copy(update={"value": 1.0})}
        }
    )
    assert decide([near], [], policy, pipeline="p", champion="1").decision == "none"

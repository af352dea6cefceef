from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.decide import Budget, Condition, Decision, Observation, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.governor import decide

START = datetime(2013, 1, 1, tzinfo=UTC)
GAP = {"calibration_gap": Condition(abs_above=0.04)}


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def seen(day: float, gap: float = 0.077, *, version: str | None = "1", labelled: int = 900, **more: Any) -> Observation:
    metrics = {"calibration_gap": MetricEstimate(value=gap, se=0.021, rows=900, blocks=30)}
    return Observation(batch=f"b{day:g}", end=at(day), labelled=labelled, version=version, metrics=metrics, **more)


def trained(day: float, decision: str = "retrain") -> Decision:
    return Decision(id=f"flights__b{day:g}", batch=f"b{day:g}", at=at(day), decision=decision, reason="")  # type: ignore[arg-type]  # tests give literals


def policy(
    cooldown: float = 0, trainings: int | None = None, per: float = 90, when: Any = None, **more: Any
) -> RetrainPolicy:
    budget = None if trainings is None else Budget(trainings=trainings, per=timedelta(days=per))
    return RetrainPolicy(when=GAP if when is None else when, cooldown=timedelta(days=cooldown), budget=budget, **more)


def verdict(
    *observations: Observation,
    decisions: list[Decision] | None = None,
    rule: RetrainPolicy | None = None,
    champion: str | None = "1",
    running: str | None = None,
) -> Decision:
    return decide(
        observations, decisions or [], rule or policy(), pipeline="flights", champion=champion, running=running
    )


def test_a_crossed_condition_retrains_and_says_by_how_much() -> None:
    found = verdict(seen(30, -0.077, drifted=("temp", "dewp")))
    assert found.decision == "retrain"
    assert (found.id, found.batch, found.at, found.champion) == ("flights__b30", "b30", at(30), "1")
    assert found.reason == "calibration_gap -0.0770 (se 0.0210), allowed at most +- 0.04; 2 columns drifted"


def test_drift_alone_starts_no_training_and_the_reason_says_so() -> None:
    found = verdict(seen(30, 0.01, drifted=("temp", "dewp"), max_effect=0.9))
    assert found.decision == "none"
    assert found.reason == (
        "calibration_gap +0.0100 (se 0.0210), allowed at most +- 0.04; 2 columns drifted, no reason alone"
    )
    assert verdict(seen(30, 0.01)).reason.endswith("; 0 columns drifted")


@pytest.mark.parametrize(
    ("bounds", "value", "crossed"),
    [
        ({"above": 0.04}, 0.041, True),
        ({"above": 0.04}, 0.04, False),
        ({"above": 0.04}, -0.5, False),
        ({"below": 0.04}, 0.039, True),
        ({"below": 0.04}, 0.04, False),
        ({"abs_above": 0.04}, -0.041, True),
        ({"abs_above": 0.04}, -0.04, False),
        ({"above": 0.5, "below": 0.1}, 0.05, True),
        ({"above": 0.5, "below": 0.1}, 0.3, False),
        ({}, 9.0, False),
    ],
)
def test_a_bound_itself_is_allowed(bounds: dict[str, float], value: float, crossed: bool) -> None:
    found = verdict(seen(30, value), rule=policy(when={"calibration_gap": Condition(**bounds)}))
    assert found.decision == ("retrain" if crossed else "none")


@pytest.mark.parametrize(
    ("name", "bounds", "said"),
    [
        ("drifted_columns", {"above": 1}, "drifted_columns 2, allowed at most 1; 2 columns drifted"),
        ("named_columns", {"above": 0}, "named_columns 1, allowed at most 0; 2 columns drifted"),
        ("max_effect", {"above": 0.5}, "max_effect +0.6300, allowed at most 0.5; 2 columns drifted"),
    ],
)
def test_drift_retrains_where_a_condition_names_it(name: str, bounds: dict[str, float], said: str) -> None:
    rule = policy(when={**GAP, name: Condition(**bounds)})
    found = verdict(seen(30, 0.01, drifted=("a", "b"), named=("b",), max_effect=0.63), rule=rule)
    assert (found.decision, found.reason) == ("retrain", said)
    calm = verdict(seen(30, 0.01, drifted=("a",), max_effect=0.5), rule=rule)
    assert calm.decision == "none"
    assert calm.reason.endswith("1 columns drifted")


def test_without_a_condition_nothing_retrains() -> None:
    found = verdict(seen(30), rule=policy(when={}))
    assert (found.decision, found.reason) == ("none", "no condition is set; 0 columns drifted")


def test_only_what_the_champion_scored_counts() -> None:
    found = verdict(seen(30, version="1"), champion="2")
    assert (found.decision, found.reason) == (
        "none",
        "scored by version 1, and the champion is version 2: not its figures",
    )
    assert "scored by no champion" in verdict(seen(30, version=None)).reason
    assert verdict(seen(30, labelled=0)).reason == "no row of this batch has a label"


def test_the_first_training_comes_after_enough_labelled_batches() -> None:
    months = [
        seen(30, version=None),
        seen(59, version=None, labelled=0),
        seen(60, version=None),
        seen(90, version=None),
    ]
    found = [verdict(*months[: n + 1], champion=None, rule=policy(first_after=3)) for n in range(4)]
    assert [d.decision for d in found] == ["wait", "wait", "wait", "retrain"]
    assert found[2].reason == "no champion, 2 of 3 labelled batches for the first training"
    assert found[3].reason == "no champion, 3 of 3 labelled batches for the first training"


def test_the_newest_batch_is_judged_and_an_unknown_figure_is_an_error() -> None:
    assert verdict(seen(60, 0.0), seen(30, 0.9)).batch == "b60"
    message = r"^retrain.when: log_los, max_effect is not measured on batch b30; there are calibration_gap, drifted_col"
    with pytest.raises(ConfigError, match=message):
        verdict(seen(30), rule=policy(when={**GAP, "max_effect": Condition(above=1), "log_los": Condition(above=1)}))
    with pytest.raises(DataError, match="no observation"):
        verdict()


@pytest.mark.parametrize(("day", "expected"), [(43.9, "wait"), (44, "retrain"), (16, "retrain"), (16.1, "wait")])
def test_within_the_cooldown_it_waits_on_either_side(day: float, expected: str) -> None:
    found = verdict(seen(day), decisions=[trained(30)], rule=policy(cooldown=14))
    assert found.decision == expected
    if day == 43.9:
        assert found.reason.startswith(
            "13.9 days from training flights__b30, cool-down is 14 days; asked for by calibration_gap +0.0770"
        )


def test_of_two_trainings_as_near_the_earlier_is_named_in_whatever_order_they_come() -> None:
    made = [trained(64), trained(46)]
    reasons = {verdict(seen(55), decisions=order, rule=policy(cooldown=10)).reason for order in (made, made[::-1])}
    assert [reason.split(",")[0] for reason in reasons] == ["9 days from training flights__b46"]


def test_only_trainings_count_for_the_cooldown_and_not_the_batchs_own() -> None:
    others = [trained(30, "wait"), trained(30, "none"), trained(31)]
    assert verdict(seen(31), decisions=others, rule=policy(cooldown=14, trainings=1)).decision == "retrain"


@pytest.mark.parametrize(("trainings", "expected"), [(1, "wait"), (2, "wait"), (3, "retrain")])
def test_a_spent_budget_waits(trainings: int, expected: str) -> None:
    found = verdict(
        seen(100), decisions=[trained(10), trained(11), trained(60)], rule=policy(trainings=trainings, per=90)
    )
    assert found.decision == expected
    if trainings == 2:
        assert found.reason.startswith("budget is spent: 2 of 2 trainings in 90 days; asked for by")


def test_a_budget_of_0_never_trains() -> None:
    assert verdict(seen(100), rule=policy(trainings=0)).decision == "wait"
    assert verdict(seen(100), rule=policy(trainings=0), champion=None).decision == "wait"


def test_one_training_at_a_time() -> None:
    found = verdict(seen(100), running="flights__b60")
    assert found.decision == "wait"
    assert found.reason.startswith("training flights__b60 has not ended; asked for by calibration_gap")
    assert verdict(seen(100, 0.0), running="flights__b60").decision == "none"


def test_run_ids_are_those_that_airflow_allows_and_never_shared() -> None:
    batches = ["2013-04-01", "2013-04-01T00:00:00+00:00", "a/b", "a b", "ü" * 300]
    made = [verdict(seen(1).model_copy(update={"batch": batch})).id for batch in batches]
    assert made[:2] == ["flights__2013-04-01", "flights__2013-04-01T00:00:00+00:00"]
    assert len(set(made)) == len(batches)
    assert all(re.fullmatch(r"[A-Za-z0-9_.~:+-]{1,250}", name) for name in made)


histories = st.lists(st.tuples(st.integers(0, 120), st.booleans()), min_size=1, max_size=25, unique_by=lambda b: b[0])
rules = st.builds(policy, cooldown=st.integers(0, 20), trainings=st.integers(0, 4), per=st.integers(1, 60))


@given(histories, rules)
def test_neither_budget_nor_cooldown_is_ever_exceeded_in_whatever_order_batches_come(
    history: list[tuple[int, bool]], rule: RetrainPolicy
) -> None:
    made: list[Decision] = []
    for day, crossed in history:
        observation = seen(day, 0.1 if crossed else 0.0)
        found = verdict(observation, decisions=made, rule=rule)
        assert found == verdict(observation, decisions=made[::-1], rule=rule)
        made.append(found)
    days = sorted(d.at for d in made if d.decision == "retrain")
    assert rule.budget is not None
    assert all(later - earlier >= rule.cooldown for earlier, later in pairwise(days))
    for first in days:
        assert sum(first <= day < first + rule.budget.per for day in days) <= rule.budget.trainings


@given(histories)
def test_without_limits_every_crossed_batch_retrains(history: list[tuple[int, bool]]) -> None:
    for day, crossed in history:
        assert verdict(seen(day, 0.1 if crossed else 0.0)).decision == ("retrain" if crossed else "none")


@pytest.mark.parametrize("name", ["roc_auc", "calibration_slope", "log_loss_ratio"])
def test_a_figure_that_a_batch_cannot_have_neither_asks_nor_hides_the_others(name: str) -> None:
    alone = verdict(seen(30), rule=policy(when={name: Condition(above=1.0)}))
    assert (alone.decision, alone.reason) == ("none", f"{name} is not defined on this batch")
    both = GAP | {name: Condition(above=1.0)}
    assert verdict(seen(30, 0.077), rule=policy(when=both)).decision == "retrain"
    quiet = verdict(seen(30, 0.01), rule=policy(when=both))
    assert quiet.decision == "none"
    assert f"{name} not defined" in quiet.reason

"""Each labelled batch is decided on once, in order, and a training that was asked for is never forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_mlops_provider.contracts.decide import Condition, Debounce, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.history import DecisionLedger
from tests.steps.flow import batch
from tests.steps.governed import GAP, World


@pytest.fixture
def world(lake):
    return World(lake)


@pytest.fixture
def watched(world):
    """The world with a champion."""
    world.promote("1")
    return world


def said(result):
    return [(d.batch[5:7], d.decision) for d in result.decisions]


FIRST = RetrainPolicy(first_after=3)


def test_without_a_champion_the_labelled_batches_are_counted(world):
    world.label(1)
    assert said(world.decide(FIRST)) == [("01", "wait")]
    world.label(2, 3)
    result = world.decide(FIRST)
    assert said(result) == [("02", "wait"), ("03", "retrain")]
    assert result.training == result.decisions[-1]
    assert result.training.id == "p__2013-03-01"
    assert result.training.champion is None


def test_months_that_come_at_once_start_the_training_that_one_of_them_asks_for(world):
    world.label(1, 2, 3, 4, 5)
    result = world.decide(FIRST)
    assert said(result) == [("01", "wait"), ("02", "wait"), ("03", "retrain"), ("04", "wait"), ("05", "wait")]
    assert "training p__2013-03-01 has not ended" in result.decisions[-1].reason
    assert result.training.batch == batch(3).id
    assert world.decide(FIRST).training.id == result.training.id


def test_a_retry_returns_the_training_that_an_earlier_try_recorded(watched):
    watched.label(1)
    watched.measure(1, gap=0.05)
    first = watched.decide()
    assert said(first) == [("01", "retrain")]
    assert watched.decide(retry=True) == first
    again = watched.decide()
    assert (again.decisions, again.training.id) == ((), first.training.id)
    assert len(DecisionLedger(watched.lake, "p").decisions()) == 1
    watched.conclude(1)
    assert watched.decide().training is None


def test_batches_are_decided_on_in_data_time_and_wait_for_their_measures(watched):
    watched.label(3, 1, 2)
    for month in (3, 1):
        watched.measure(month, gap=0.0)
    assert said(watched.decide()) == [("01", "none"), ("03", "none")]
    assert watched.decide().decisions == ()
    watched.measure(2, gap=0.0)
    assert said(watched.decide()) == [("02", "none")]


def test_a_refused_batch_is_not_decided_on(watched):
    BatchLedger(watched.lake, "labels").refuse(batch(1), rows=100, run_key="r")
    watched.measure(1, gap=0.9)
    assert watched.decide().decisions == ()
    watched.label(1)
    assert said(watched.decide()) == [("01", "retrain")]


def test_a_training_that_has_not_ended_is_waited_for_once(watched):
    for month in (1, 2, 3):
        watched.label(month)
        watched.measure(month, gap=0.05)
    assert said(watched.decide()) == [("01", "retrain"), ("02", "wait"), ("03", "wait")]
    watched.label(4)
    watched.measure(4, gap=0.05)
    fourth = watched.decide()
    assert said(fourth) == [("04", "retrain")]
    assert fourth.training.batch == batch(4).id


def test_a_quiet_batch_after_it_does_not_hide_a_training(watched):
    watched.label(1, 2)
    watched.measure(1, gap=0.05)
    watched.measure(2, gap=0.0)
    result = watched.decide()
    assert said(result) == [("01", "retrain"), ("02", "none")]
    assert result.training.batch == batch(1).id


def test_an_ended_training_is_not_waited_for_and_the_cool_down_holds(watched):
    watched.label(1)
    watched.measure(1, gap=0.05)
    policy = GAP.model_copy(update={"cooldown": timedelta(days=35)})
    watched.decide(policy)
    watched.conclude(1)
    watched.label(2)
    watched.measure(2, gap=-0.06)
    result = watched.decide(policy)
    assert said(result) == [("02", "wait")]
    assert "cool-down is 35 days; asked for by calibration_gap -0.0600" in result.decisions[0].reason
    assert result.training is None


def test_drift_is_told_and_is_no_reason_alone(watched):
    watched.label(1)
    watched.measure(1, gap=0.0)
    watched.drift(1, "temperature", "dew_point")
    decision = watched.decide().decisions[0]
    assert decision.decision == "none"
    assert "2 columns drifted, no reason alone" in decision.reason


def test_drift_retrains_where_the_policy_says_so(watched):
    watched.label(1)
    watched.measure(1, gap=0.0)
    watched.drift(1, "temperature")
    policy = RetrainPolicy(when={"max_effect": Condition(above=0.2)})
    assert said(watched.decide(policy)) == [("01", "retrain")]


def test_a_restored_champion_is_judged_by_its_shadow(watched):
    watched.promote("2", former="1")
    watched.label(1)
    shadow = {"calibration_gap": MetricEstimate(value=0.0, rows=100)}
    watched.measure(1, gap=0.2, version="2", shadow_version="1", shadow=shadow)
    watched.promote("1", former="2", kind="rollback")
    assert said(watched.decide()) == [("01", "none")]


def test_a_debounce_counts_the_batches_that_were_decided_on_before(watched):
    policy = GAP.model_copy(update={"debounce": Debounce(times=2, of=2)})
    for month, expected in ((1, "wait"), (2, "retrain")):
        watched.label(month)
        watched.measure(month, gap=0.05)
        assert said(watched.decide(policy)) == [(f"{month:02}", expected)]


def test_a_batch_that_a_person_trained_on_and_whose_challenger_was_refused_is_not_trained_on_again(watched):
    watched.label(1)
    watched.measure(1, gap=0.05)
    watched.conclude(1, "refused", run="manual__1")
    result = watched.decide()
    assert said(result) == [("01", "wait")]
    assert result.decisions[0].reason.startswith(
        "version 2 was trained on batches up to 2013-01-01 and refused (gain +0.012, p 0.23), and no newer batch has"
    )
    watched.label(2)
    watched.measure(2, gap=0.05)
    assert said(watched.decide()) == [("02", "retrain")]


def test_refusals_in_a_row_are_told_with_the_columns_that_drifted(watched):
    policy = GAP.model_copy(update={"alert_after": 2})
    alerts = []
    told = (
        "2 challengers in a row were refused: versions 2, 3; the last: gain +0.012, p 0.23; "
        "drifted: temperature, dew_point, the farthest column by 0.3000"
    )
    for month in (1, 2, 3):
        watched.label(month)
        watched.measure(month, gap=0.05)
        watched.drift(month, "temperature", "dew_point")
        alerts += [decision.alert for decision in watched.decide(policy).decisions]
        watched.conclude(month, "refused", version=str(month + 1))
    assert alerts == [None, None, told]


def test_people_are_told_of_refusals_once(watched):
    policy = GAP.model_copy(update={"alert_after": 1})
    alerts = []
    for month in (1, 2, 3):
        watched.label(month)
        watched.measure(month, gap=0.05 if month == 1 else 0.0)
        alerts += [decision.alert for decision in watched.decide(policy).decisions]
        if month == 1:
            watched.conclude(month, "refused")
    assert [bool(alert) for alert in alerts] == [False, True, False]

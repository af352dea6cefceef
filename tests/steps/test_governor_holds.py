"""Debounce, quiet days, refused challengers and their alert: what they hold back, and that order does not matter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_mlops_provider.contracts.decide import (
    WEEKDAYS,
    Budget,
    Condition,
    Days,
    Debounce,
    Decision,
    EndedTraining,
    Observation,
    Quiet,
    RetrainPolicy,
)
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import PredictionEffect
from airflow_mlops_provider.steps.governor import decide

START = datetime(2013, 1, 1, tzinfo=UTC)
WHEN = {"calibration_gap": Condition(abs_above=0.04)}


def at(day: float) -> datetime:
    return START + timedelta(days=day)


def seen(day: int, asks: bool = True, *, version: str = "1", labelled: int = 900, **more: Any) -> Observation:
    metrics = {"calibration_gap": MetricEstimate(value=0.077 if asks else 0.0, rows=900)}
    return Observation(batch=f"b{day}", end=at(day), labelled=labelled, version=version, metrics=metrics, **more)


def ended(day: int, verdict: str = "refused", version: str = "7") -> EndedTraining:
    return EndedTraining(until=f"b{day}", end=at(day), version=version, verdict=verdict, reason="gain +0.0123, p 0.234")  # type: ignore[arg-type]  # tests give literals


def verdict(*observations: Observation, decisions: list[Decision] | None = None, champion: str | None = "1",
            trainings: list[EndedTraining] | None = None, **rule: Any) -> Decision:  # fmt: skip
    policy = RetrainPolicy(when=WHEN, **rule)
    return decide(observations, decisions or [], policy, pipeline="p", champion=champion, ended=trainings or [])


TWICE = Debounce(times=2, of=3)


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        ([True], "wait"),
        ([True, True], "retrain"),
        ([True, False, True], "retrain"),
        ([True, False, False, True], "wait"),
        ([True, True, False], "none"),
    ],
)
def test_enough_of_the_last_judged_batches_must_ask_the_newest_among_them(asks: list[bool], expected: str) -> None:
    found = verdict(*(seen(day, ask) for day, ask in enumerate(asks)), debounce=TWICE)
    assert found.decision == expected


def test_the_debounce_says_how_many_asked_and_what_asked() -> None:
    assert verdict(seen(1, False), seen(2), debounce=TWICE).reason == (
        "1 of the last 2 judged batches asked, debounce wants 2 of 3; "
        "asked for by calibration_gap +0.0770, allowed at most +- 0.04; 0 columns drifted"
    )


def test_only_what_the_present_champion_scored_with_labels_counts_for_the_debounce() -> None:
    others = (seen(1, version="2"), seen(2, labelled=0))
    assert verdict(*others, seen(3), debounce=TWICE).reason.startswith("1 of the last 1 judged batches")
    assert verdict(seen(0), *others, seen(3), debounce=Debounce(times=2, of=2)).decision == "retrain"


def test_an_earlier_batch_without_the_figure_did_not_ask() -> None:
    bare = Observation(batch="b1", end=at(1), labelled=9, version="1")
    assert verdict(bare, seen(2), debounce=TWICE).decision == "wait"


def test_the_first_training_needs_no_debounce() -> None:
    assert verdict(seen(1), champion=None, debounce=TWICE).decision == "retrain"


def test_a_debounce_that_can_never_ask_and_days_that_run_backwards_are_errors() -> None:
    with pytest.raises(ValidationError, match="3 of 2 batches can never ask: times is at most of"):
        Debounce(times=3, of=2)
    with pytest.raises(ValidationError, match="last 2013-01-01 is before first 2013-01-02"):
        Days(first=date(2013, 1, 2), last=date(2013, 1, 1))


@pytest.mark.parametrize(
    ("day", "expected"), [("12-19", "retrain"), ("12-20", "wait"), ("12-26", "wait"), ("12-27", "retrain")]
)
def test_on_quiet_dates_it_waits_both_ends_counted(day: str, expected: str) -> None:
    quiet = Quiet(dates=(Days(first=date(2013, 12, 20), last=date(2013, 12, 26)),))
    observation = seen(1).model_copy(update={"end": datetime.fromisoformat(f"2013-{day}T23:59:59+00:00")})
    found = verdict(observation, quiet=quiet)
    assert found.decision == expected
    if expected == "wait":
        assert found.reason.startswith(f"2013-{day} is quiet: 2013-12-20 to 2013-12-26; asked for by calibration_gap")


def test_a_quiet_weekday_is_that_of_the_batchs_own_zone() -> None:
    midnight = datetime(2013, 6, 1, 4, tzinfo=UTC)  # a saturday begins in New York
    local = seen(1).model_copy(update={"end": midnight, "timezone": "America/New_York"})
    assert verdict(local, quiet=Quiet(weekdays=("saturday",))).reason.startswith("2013-06-01 is quiet: a saturday;")
    early = local.model_copy(update={"end": midnight - timedelta(seconds=1)})
    assert verdict(early, quiet=Quiet(weekdays=("saturday",))).decision == "retrain"
    assert verdict(early, quiet=Quiet(weekdays=("friday",))).decision == "wait"


@pytest.mark.parametrize(
    ("trained", "expected"), [(ended(4), "retrain"), (ended(5), "wait"), (ended(6), "wait"),
                              (ended(5, "accepted"), "retrain")]
)  # fmt: skip
def test_data_that_was_trained_on_and_refused_is_not_trained_on_again(trained: EndedTraining, expected: str) -> None:
    found = verdict(seen(5), trainings=[trained])
    assert found.decision == expected
    if expected == "wait":
        assert found.reason.startswith(
            f"version 7 was trained on batches up to {trained.until} and refused (gain +0.0123, p 0.234), "
            "and no newer batch has labels; asked for by calibration_gap +0.0770"
        )


def test_what_drifted_is_told_by_what_it_does_to_the_predictions() -> None:
    moves = {
        "dewp": PredictionEffect(mean=0.031, each=0.052, rows=2000),
        "temp": PredictionEffect(mean=-0.001, each=0.004, rows=2000),
    }
    drifted = seen(5, drifted=("temp", "wind", "dewp"), max_column="temp", max_effect=0.93, effects=moves)
    found = verdict(drifted, trainings=[ended(4)], alert_after=1)
    assert found.reason.endswith(
        "; 3 columns drifted, most for the predictions dewp (their mean +0.0310, each by 0.0520)"
    )
    assert found.alert is not None
    assert found.alert.endswith(
        "drifted: dewp (their mean +0.0310, each by 0.0520), temp (their mean -0.0010, each by 0.0040), wind, "
        "the farthest temp by 0.9300"
    )


def test_refusals_in_a_row_are_told_with_the_columns_that_drifted() -> None:
    trainings = [ended(2, version="2"), ended(4, version="3")]
    drifted = seen(5, drifted=("temp", "dewp"), max_column="temp", max_effect=0.93)
    assert verdict(drifted, trainings=trainings, alert_after=3).alert is None
    assert verdict(drifted, trainings=trainings).alert is None
    assert verdict(drifted, trainings=trainings, alert_after=2).alert == (
        "2 challengers in a row were refused: versions 2, 3; the last: gain +0.0123, p 0.234; "
        "drifted: temp, dewp, the farthest temp by 0.9300"
    )
    many = seen(5, asks=False, drifted=tuple("abcdefg"))
    calm = verdict(many, trainings=trainings, alert_after=1)
    assert calm.decision == "none"
    assert calm.alert is not None
    assert calm.alert.endswith("drifted: a, b, c, d, e and 2 more")
    assert "no column drifted" in (verdict(seen(5), trainings=trainings, alert_after=2).alert or "")


def test_an_accepted_challenger_ends_the_row_and_later_trainings_are_not_known_yet() -> None:
    row = [ended(1), ended(2, "accepted"), ended(3), ended(9)]
    assert verdict(seen(5), trainings=row, alert_after=2).alert is None


def test_people_are_told_once_for_so_many_refusals() -> None:
    made: list[Decision] = []
    for day in range(1, 9):
        trainings = [ended(before, version=str(before)) for before in range(1, day)]
        made.append(verdict(seen(day), decisions=made, trainings=trainings, alert_after=3))
    assert [d.batch for d in made if d.alert] == ["b4", "b7"]


def test_a_new_row_is_told_anew_and_a_batch_that_comes_late_tells_nothing_twice() -> None:
    told = Decision(id="p__b5", batch="b5", at=at(5), decision="none", reason="", alert="2 challengers")
    row = [ended(1), ended(2, version="8")]
    assert verdict(seen(3), decisions=[told], trainings=row, alert_after=2).alert is None
    anew = [*row, ended(6, "accepted"), ended(7, version="9"), ended(8, version="10")]
    assert "versions 9, 10" in (verdict(seen(9), decisions=[told], trainings=anew, alert_after=2).alert or "")


batches = st.lists(
    st.tuples(st.integers(0, 90), st.booleans(), st.sampled_from("12")),
    min_size=1,
    max_size=20,
    unique_by=lambda b: b[0],
)
debounces = st.none() | st.builds(
    lambda few, more: Debounce(times=few, of=few + more), st.integers(1, 4), st.integers(0, 3)
)
budgets = st.builds(Budget, trainings=st.integers(0, 4), per=st.integers(1, 60).map(lambda days: timedelta(days=days)))
quiets = st.none() | st.builds(Quiet, weekdays=st.sets(st.sampled_from(WEEKDAYS)).map(tuple))
policies = st.builds(
    RetrainPolicy,
    when=st.just(WHEN),
    debounce=debounces,
    cooldown=st.integers(0, 20).map(lambda days: timedelta(days=days)),
    budget=st.none() | budgets,
    quiet=quiets,
    alert_after=st.none() | st.integers(1, 3),
)
verdicts = st.lists(st.tuples(st.integers(0, 90), st.sampled_from(["accepted", "refused"])), max_size=6)


def played(history: list[tuple[int, bool, str]], policy: RetrainPolicy, known: list[EndedTraining]) -> list[Decision]:
    """Decide on each batch as it comes, in the order of data time."""
    made: list[Decision] = []
    observed: list[Observation] = []
    for day, asks, version in sorted(history):
        observed.append(seen(day, asks, version=version))
        made.append(decide(observed, made, policy, pipeline="p", champion="1", ended=known))
    return made


@given(batches, policies, verdicts, st.randoms())
def test_the_order_of_history_does_not_matter(history: Any, policy: RetrainPolicy, ends: Any, random: Any) -> None:
    known = [ended(day, verdict, str(n)) for n, (day, verdict) in enumerate(ends)]
    made = played(history, policy, known)
    observed = [seen(day, asks, version=version) for day, asks, version in history]
    expected = decide(observed, made[:-1], policy, pipeline="p", champion="1", ended=known)
    for many in (observed, made, known):
        random.shuffle(many)
    others = [one for one in made if one.batch != expected.batch]
    assert decide(observed, others, policy, pipeline="p", champion="1", ended=known) == expected


@given(batches, policies, verdicts)
def test_more_data_never_undoes_an_earlier_decision(history: Any, policy: RetrainPolicy, ends: Any) -> None:
    known = [ended(day, verdict, str(n)) for n, (day, verdict) in enumerate(ends)]
    whole = played(history, policy, known)
    for count in range(1, len(whole)):
        assert played(sorted(history)[:count], policy, known) == whole[:count]


@given(batches, policies)
def test_no_window_has_more_than_the_budget_no_two_are_within_cooldown_and_quiet_days_are_quiet(
    history: Any, policy: RetrainPolicy
) -> None:
    days = [made.at for made in played(history, policy, []) if made.decision == "retrain"]
    assert all(later - earlier >= policy.cooldown for earlier, later in pairwise(days))
    if policy.budget is not None:
        per, most = policy.budget.per, policy.budget.trainings
        assert all(sum(first <= day < first + per for day in days) <= most for first in days)
    quiet = policy.quiet.weekdays if policy.quiet else ()
    assert not {WEEKDAYS[day.weekday()] for day in days} & set(quiet)


@given(batches, policies)
def test_one_of_one_is_no_debounce(history: Any, policy: RetrainPolicy) -> None:
    plain, once = (
        played(history, policy.model_copy(update={"debounce": rule}), []) for rule in (None, Debounce(times=1, of=1))
    )
    assert plain == once


@given(batches, st.integers(1, 4), st.integers(1, 4))
def test_a_stricter_debounce_alone_never_trains_more(history: Any, few: int, more: int) -> None:
    def trained(times: int) -> set[str]:
        rule = RetrainPolicy(when=WHEN, debounce=Debounce(times=times, of=8))
        return {made.batch for made in played(history, rule, []) if made.decision == "retrain"}

    assert trained(few + more) <= trained(few)

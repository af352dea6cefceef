"""The policy as written gives the ledger's decisions again; another one says only what history can tell of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from airflow_mlops_provider.contracts.decide import Budget, Condition, Debounce, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import BatchPerformance
from airflow_mlops_provider.contracts.simulate import SimulateSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.simulate import simulate
from tests.steps.flow import batch
from tests.steps.governed import GAP, World

WRITTEN = RetrainPolicy(
    when={"calibration_gap": Condition(abs_above=0.04)},
    debounce=Debounce(times=1, of=2),
    cooldown=timedelta(days=20),
    budget=Budget(trainings=3, per=timedelta(days=120)),
    alert_after=1,
    first_after=2,
)


@pytest.fixture
def world(lake):
    return World(lake)


def lived(world: World, policy: RetrainPolicy = WRITTEN, after: Callable[[], None] = lambda: None) -> None:
    """Live through nine months: first training, a refusal, a promotion with its shadow, a rollback, quiet months."""

    def month(number: int, gap: float | None = None, version: str = "1", **more) -> None:
        world.label(number)
        if gap is not None:
            world.drift(number, "temperature")
            world.measure(number, gap, version, **more)
        if more.get("shadow_version") and abs(gap or 0) > 0.1:
            world.promote(more["shadow_version"], former=version, kind="rollback")
        world.decide(policy)
        after()

    def shadow(version: str, gap: float) -> dict:
        return {"shadow_version": version, "shadow": {"calibration_gap": MetricEstimate(value=gap, rows=100)}}

    month(1)
    month(2)
    world.conclude(2, version="1")
    world.promote("1")
    month(3, -0.076)
    world.conclude(3, "refused", "2")
    month(4, 0.03)
    month(5, -0.046)
    world.conclude(5, "accepted", "3")
    world.promote("3", former="1")
    month(6, 0.02, "3", **shadow("1", -0.05))
    month(7, 0.06, "3")
    world.conclude(7, "accepted", "4")
    world.promote("4", former="3")
    month(8, 0.2, "4", **shadow("3", 0.045))
    month(9, 0.01, "3")


def simulated(world: World, **policies: RetrainPolicy):
    spec = SimulateSpec(pipeline="p", lake=world.lake.root, model="m", labels="labels", policies=policies)
    return simulate(spec, StepContext("run", emit=lambda _: None))


def replayed(result, index: int = 0) -> list[tuple[str, bool]]:
    return [(found.replays[index].decision, found.replays[index].own) for found in result.batches]


def without(policy: RetrainPolicy, **changes) -> RetrainPolicy:
    return policy.model_copy(update=changes)


@pytest.mark.parametrize(
    "policy",
    [
        WRITTEN,
        GAP,
        without(WRITTEN, debounce=Debounce(times=2, of=2)),
        without(WRITTEN, cooldown=timedelta(days=70)),
        without(WRITTEN, budget=Budget(trainings=1, per=timedelta(days=300))),
    ],
)
def test_the_policy_as_written_makes_the_ledgers_decisions_again(world, policy):
    lived(world, policy)
    result = simulated(world, written=policy)
    recorded = DecisionLedger(world.lake, "p").decisions()
    assert [found.recorded for found in result.batches] == recorded
    again = [(found.replays[0].decision, found.replays[0].reason) for found in result.batches]
    assert again == [(made.decision, made.reason) for made in recorded]
    totals = result.replays[0]
    assert (totals.decided, totals.same, totals.exact) == (9, 9, 9)
    assert all(own for _, own in replayed(result))
    assert totals.kept == result.served


def test_months_that_came_at_once_and_one_that_came_late_are_replayed_as_they_were_known(world):
    world.promote("1")
    policy = without(GAP, debounce=Debounce(times=2, of=3))
    for months in ((1, 3, 4, 5), (6,), (2,), (7, 8)):
        for month in months:
            world.label(month)
            world.measure(month, 0.01 if month in (4, 7) else 0.05)
        world.decide(policy)
    result = simulated(world, written=policy)
    assert (result.replays[0].decided, result.replays[0].exact) == (8, 8)
    assert [found.batch[5:7] for found in result.batches] == ["01", "03", "04", "05", "06", "02", "07", "08"]
    assert any("has not ended" in found.recorded.reason for found in result.batches)


def test_what_happened_and_what_served_are_told(world):
    lived(world)
    result = simulated(world, written=WRITTEN)
    assert [found.happened for found in result.batches] == [
        "", "1 promoted", "2 refused", "", "3 promoted", "", "4 promoted", "4 rolled back to 3, no training ended", "",
    ]  # fmt: skip
    assert [found.version for found in result.batches] == [None, None, "1", "1", "1", "3", "3", "4", "3"]
    assert (result.trainings, result.promoted, result.refused) == (5, 3, 1)
    gaps = (0.076, 0.03, 0.046, 0.02, 0.06, 0.2, 0.01)
    assert result.served["calibration_gap"].value == pytest.approx(sum(gaps) / 7)


def test_a_policy_that_keeps_the_former_champion_has_its_shadow_s_figures_and_then_nothing_is_known(world):
    lived(world)
    calmer = without(WRITTEN, when={"calibration_gap": Condition(abs_above=0.055)}, debounce=None)
    result = simulated(world, written=WRITTEN, calmer=calmer)
    kept = [found.replays[1] for found in result.batches]
    gaps = [one.metrics["calibration_gap"].value if one.metrics else None for one in kept]
    # Version 1 stays: in shadow in the sixth month, then nobody measured it.
    assert gaps == [None, None, -0.076, 0.03, -0.046, -0.05, None, None, None]
    assert [one.own for one in kept] == [True] * 6 + [False] * 3
    assert [one.judged for one in kept] == [None, None, "1", "1", "1", "1", "3", "3", "3"]
    totals = result.replays[1].kept["calibration_gap"]
    assert (totals.batches, totals.unknown) == (4, 3)
    assert totals.value == pytest.approx((0.076 + 0.03 + 0.046 + 0.05) / 4)
    assert totals.served == pytest.approx((0.076 + 0.03 + 0.046 + 0.02) / 4)


def test_a_policy_that_did_not_make_what_was_rolled_back_is_in_history_again(world):
    lived(world)
    rarer = without(WRITTEN, cooldown=timedelta(days=70))
    result = simulated(world, rarer=rarer)
    kept = [found.replays[0] for found in result.batches]
    assert [one.training for one in kept] == [None, "same", None, None, "same", None, None, "same", None]
    # The eighth month: version 4 served and was rolled back, this policy has version 3, in shadow then.
    assert [one.judged for one in kept] == [None, None, "1", "1", "1", "3", "3", "3", "3"]
    assert kept[7].metrics["calibration_gap"].value == 0.045
    assert all(one.own for one in kept)


def test_a_training_that_never_happened_has_no_model_and_no_figures_after_it(world):
    lived(world)
    eager = without(WRITTEN, when={"calibration_gap": Condition(abs_above=0.025)}, cooldown=timedelta(0), budget=None)
    result = simulated(world, eager=eager)
    kept = [found.replays[0] for found in result.batches]
    assert [one.training for one in kept] == [None, "same", "same", "never", "other", None, "other", "other", None]
    assert [bool(one.metrics) for one in kept] == [False, False, True, True, False, False, False, False, False]
    totals = result.replays[0]
    assert (totals.trainings, totals.made, totals.promoted, totals.refused) == (6, 5, 1, 1)
    assert totals.kept["calibration_gap"].unknown == 5


def test_a_later_first_training_leaves_the_pipeline_without_a_champion_that_is_known(world):
    lived(world)
    result = simulated(world, later=without(WRITTEN, first_after=3))
    assert replayed(result)[:4] == [("wait", True), ("wait", True), ("retrain", True), ("none", False)]
    assert result.batches[2].replays[0].reason == "no champion, 3 of 3 labelled batches for the first training"
    assert result.replays[0].kept["calibration_gap"].value is None


def test_a_verdict_counts_only_for_a_training_that_the_policy_made_too(world):
    lived(world)
    late = without(WRITTEN, when={"calibration_gap": Condition(abs_above=0.1)}, debounce=None)
    result = simulated(world, written=WRITTEN, late=late)
    assert result.batches[3].replays[0].alert is not None
    assert [found.replays[1].alert for found in result.batches] == [None] * 9


def test_a_decision_is_replayed_on_the_figures_that_it_was_made_of(world):
    world.promote("1")
    world.label(1)
    world.measure(1, gap=0.05)
    world.decide()
    revised = {"calibration_gap": MetricEstimate(value=0.01, rows=200)}
    record = BatchPerformance(batch=batch(1).id, version="1", rows=200, labelled=200, revision=1, metrics=revised)
    world.add("performance", 1, record, "1", revision=1)
    result = simulated(world, written=GAP)
    assert (result.replays[0].exact, result.batches[0].replays[0].decision) == (1, "retrain")
    assert result.batches[0].metrics["calibration_gap"].value == 0.01


def test_a_pipeline_that_was_only_monitored_shows_what_a_policy_would_have_said(world):
    world.promote("1")
    for month, gap in ((1, 0.01), (2, 0.05), (3, 0.06)):
        world.label(month)
        world.measure(month, gap)
    result = simulated(world, first=GAP)
    assert replayed(result) == [("none", True), ("retrain", True), ("retrain", False)]
    assert result.replays[0].decided == 0
    assert [found.recorded for found in result.batches] == [None] * 3


def test_what_comes_later_changes_no_replayed_decision(world):
    eager = without(WRITTEN, when={"calibration_gap": Condition(abs_above=0.025)}, cooldown=timedelta(0))
    seen: list[list] = []

    def after() -> None:
        result = simulated(world, written=WRITTEN, eager=eager)
        seen.append([(one.decision, one.reason, one.own, one.judged) for b in result.batches for one in b.replays])

    lived(world, after=after)
    assert [len(one) for one in seen] == list(range(2, 20, 2))
    assert all(one == seen[-1][: len(one)] for one in seen)


def test_nothing_is_written(world):
    lived(world)
    tables = [world.monitoring.table, DecisionLedger(world.lake, "p").table, "_ledgers/promotions/m@champion"]
    before = [world.lake.version(table) for table in tables]
    simulated(world, written=WRITTEN, other=GAP)
    assert [world.lake.version(table) for table in tables] == before


def test_without_history_there_is_nothing_to_replay(world):
    world.label(1)
    with pytest.raises(DataError, match="pipeline p: no batch of labels was decided on or measured yet"):
        simulated(world, written=WRITTEN)

"""A rollback happens once and for a reason, and what a crash left of it is made good."""

from __future__ import annotations

import shutil

import pytest

from airflow_mlops_provider.contracts.promote import PromoteSpec
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.promote import promote
from airflow_mlops_provider.steps.promotions import PromotionLedger
from tests.steps.flow import DUMMY, add_month

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def promote_dummy(world) -> None:
    trained = world.train("dummy", estimator=DUMMY, until="2013-02-01")
    promote(PromoteSpec(**world.common, model="m", trained=trained), world.at("dummy/promote"))


def measured(world) -> None:
    """Score and measure March: version 2 is worse than version 1 in shadow."""
    promote_dummy(world)
    add_month(world.lake, 3)
    world.score()
    world.performance()


def alias(world) -> str:
    return str(models.connect(world.context).get_model_version_by_alias("m", "champion").version)


def test_without_a_champion_or_a_former_one_there_is_nothing_to_roll_back(world):
    assert world.rollback("r").reason == "nothing to roll back: no champion"
    promote_dummy(world)
    assert world.rollback("r", force=True).reason == "nothing to roll back: version 1 came by promote"


def test_without_a_measured_batch_nothing_is_judged(watched):
    promote_dummy(watched)
    done = watched.rollback("r")
    assert (done.rolled_back, done.reason) == (False, "version 2 has no batch in probation with labels")


def test_force_rolls_back_at_once_with_the_reason_given(watched):
    promote_dummy(watched)
    done = watched.rollback("r", force=True, reason="a complaint")
    assert (done.rolled_back, done.written, done.promotion.version, done.reason) == (True, True, "1", "a complaint")
    assert alias(watched) == "1"
    assert not watched.rollback("again", force=True).rolled_back


def test_a_retry_tells_what_its_first_try_did(watched):
    measured(watched)
    first = watched.rollback("r")
    again = watched.rollback("r")
    assert (first.written, again.written) == (True, False)
    assert again.promotion == first.promotion
    assert len(PromotionLedger(watched.lake, "m").history()) == 3


def test_what_a_crash_left_undone_is_made_good_by_the_next_run(watched):
    measured(watched)
    before = watched.lake.uri("_ledgers/monitoring/p")
    shutil.copytree(before, f"{before}-before")
    first = watched.rollback("r")
    # As after a crash behind the commit: the alias and the line in monitoring are those of before.
    shutil.rmtree(before)
    shutil.move(f"{before}-before", before)
    client = models.connect(watched.context)
    client.set_registered_model_alias("m", "champion", "2")
    done = watched.rollback("another")
    assert (done.rolled_back, done.written, done.promotion) == (True, False, first.promotion)
    assert alias(watched) == "1"
    assert list(Monitoring(watched.lake, "p").lines("rollback")) == ["2013-03-01"]
    assert not watched.rollback("a third").rolled_back

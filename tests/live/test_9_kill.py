"""A scheduler that dies: what it ran ends rightly once another one is there, and nothing is doubled."""

import random

import pytest

from tests.chaos.daemons import trials
from tests.live.data import PER_DAY, batch


@pytest.mark.parametrize(("number", "tasks"), [(1, True), (3, False)], ids=["with its tasks", "alone"])
def test_a_killed_schedulers_run_ends_once(live, scheduler, number, tasks):
    run_id = live.start_run("steady-data", number)
    live.wait("it reads", lambda: live.states("steady-data", run_id).get("ingest") == "running")
    scheduler.kill(tasks=tasks)
    assert live.state("steady-data", run_id) == "running"
    scheduler.start()
    assert live.ended("steady-data", run_id) == "success"
    assert {row.batch.id: row.rows for row in live.batches("slow")}[batch(number)] == 31 * PER_DAY
    assert live.lake.read("slow")["_batch"].to_pylist().count(batch(number)) == 31 * PER_DAY
    if tasks:
        assert live.tasks("steady-data", run_id)["ingest"]["try_number"] == 2


def test_each_decision_is_one_training_whatever_is_killed(live, scheduler, triggerer):
    """`make chaos` does it as often as you like; the moments are drawn anew, the seed is in the failure."""
    seed = random.randrange(2**32)
    found = trials(live, scheduler, triggerer, 3, random.Random(seed))
    assert (found.checks, found.violations) == (12, []), f"seed {seed}"

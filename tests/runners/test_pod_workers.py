"""Which worker's end is the job's."""

from __future__ import annotations

import json

import pytest

from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.runners.pod_workers import end_of_workers

DONE = Outcome("succeeded", result={"rows": 1})


def pod(phase, *, at="2026-01-01T00:00:05Z", outcome=None, code=1, deleted=False, disrupted=None, reason="Error"):
    message = json.dumps({"outcome": json.loads(outcome.encode())}) if outcome else ""
    ended = {"reason": reason, "exitCode": code, "message": message, "finishedAt": at}
    state = {"terminated": ended} if phase in ("Succeeded", "Failed") else {"running": {}}
    status = {"phase": phase, "containerStatuses": [{"name": "base", "state": state}]}
    if disrupted:
        status["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": disrupted}]
    return {"metadata": {"deletionTimestamp": at} if deleted else {}, "status": status}


def failed(error, kind="bug", **told):
    return pod("Failed", outcome=Outcome("failed", kind=kind, error=error), **told)


WELL = pod("Succeeded", code=0)
RUNNING = pod("Running")
CUT_OFF = failed("Connection closed by peer", at="2026-01-01T00:00:07Z")
EVICTED = pod("Failed", disrupted="EvictionByEvictionAPI", at="2026-01-01T00:00:09Z")


@pytest.mark.parametrize(
    ("pods", "rank", "cause"),
    [
        ({0: CUT_OFF, 1: failed("my own")}, 1, "exited"),  # what came first
        ({0: WELL, 1: failed("my own")}, 1, "exited"),  # all or nothing
        ({0: failed("my own"), 1: pod("Failed", deleted=True, at="2026-01-01T00:00:01Z")}, 0, "exited"),
        ({0: failed("my own")}, 0, "exited"),  # the other was taken down, and is gone
        ({0: CUT_OFF, 1: EVICTED}, 1, "evicted"),  # what the cluster did explains the rest
        ({0: CUT_OFF, 1: pod("Failed", reason="OOMKilled")}, 1, "out_of_memory"),
        (
            {0: pod("Running", deleted=True), 1: pod("Running", deleted=True, disrupted="PreemptionByScheduler")},
            1,
            "preempted",
        ),
        (
            {0: pod("Failed", deleted=True, outcome=Outcome("failed", kind="transient", error="stopped"))},
            1,
            "node_lost",
        ),
        ({}, 0, "node_lost"),
        ({0: WELL, 1: RUNNING}, 1, "running"),
        ({0: RUNNING, 1: RUNNING}, 0, "running"),
    ],
)
def test_the_cause_is_the_worker_that_brought_the_others_down(pods, rank, cause):
    found, end = end_of_workers(pods, 2, "base")
    assert (found, end.cause) == (rank, cause)
    assert "worker" in end.detail
    assert str(rank) in end.detail


def test_pods_that_are_gone_are_all_named():
    _, end = end_of_workers({1: RUNNING}, 3, "base")
    assert end.detail == "the job ended as pods were deleted: of worker 0, 2"


def test_the_outcome_is_the_first_workers_where_all_ended_well():
    first = pod("Succeeded", code=0, outcome=DONE)
    rank, end = end_of_workers({0: first, 1: WELL, 2: WELL}, 3, "base")
    assert (rank, end.cause, end.outcome) == (0, "exited", DONE)


def test_a_failure_names_its_worker():
    _, end = end_of_workers({0: CUT_OFF, 1: failed("ValueError: no")}, 2, "base")
    assert end.outcome is not None
    assert end.outcome.error == "worker 1: ValueError: no"

"""Why a pod ended, and what follows from it."""

from __future__ import annotations

import json

import pytest

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.runners.ending import End, end_of
from airflow_mlops_provider.runners.pod_retry import next_of, with_changes
from airflow_mlops_provider.runners.usage import Usage

POD = Pod(image="acme/train:1", memory="4Gi", memory_ceiling="8Gi", interruptions=2)
DONE = Outcome("succeeded", result={"rows": 1})
FAULT = Outcome("failed", kind="bug", error="ValueError: no")


def terminated(reason="Error", code=1, message=""):
    return {
        "containerStatuses": [
            {"name": "base", "state": {"terminated": {"reason": reason, "exitCode": code, "message": message}}}
        ]
    }


def said_by_the_step(error):
    outcome = Outcome("failed", kind="bug", error=error)
    return terminated(message=json.dumps({"path": "p", "outcome": json.loads(outcome.encode())}))


def disrupted(reason):
    return {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}]}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (terminated("Completed", 0), "exited"),
        (terminated("OOMKilled", 137), "out_of_memory"),
        ({"reason": "Evicted", "message": "low on memory", **terminated()}, "evicted"),
        (disrupted("PreemptionByScheduler") | terminated("Error", 143), "preempted"),
        (disrupted("DeletionByTaintManager"), "node_lost"),
        (disrupted("EvictionByEvictionAPI"), "evicted"),
        (disrupted("TerminationByKubelet"), "evicted"),
        ({"reason": "Terminated", "message": "imminent node shutdown"}, "preempted"),
        ({"reason": "NodeLost", "phase": "Unknown"}, "node_lost"),
        ({"reason": "UnexpectedAdmissionError"}, "device_lost"),
        ({"reason": "DeadlineExceeded"}, "deadline"),
        ({"containerStatuses": [{"name": "base", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}, "image"),
        (said_by_the_step("CUDA error: uncorrectable ECC error encountered"), "device_lost"),
        (said_by_the_step("CUDA out of memory"), "exited"),
        ({"phase": "Pending"}, "running"),
        ({}, "running"),
    ],
)
def test_a_cause_is_read_from_what_the_cluster_says(status, cause):
    assert end_of({"status": status}).cause == cause


def test_a_full_device_is_told_with_advice():
    outcome = end_of({"status": said_by_the_step("CUDA out of memory")}).outcome
    assert outcome.kind == "bad_input"
    assert "smaller batches" in outcome.error


def test_a_deleted_pod_that_never_ends_was_lost():
    pod = {"metadata": {"deletionTimestamp": "2025-01-01T00:00:00Z"}, "status": {"phase": "Running"}}
    assert end_of(pod).cause == "node_lost"


STARTED = "2025-01-01T00:00:00Z"


def ran(**state):
    return {"containerStatuses": [{"name": "base", "state": state}]}


@pytest.mark.parametrize(
    ("pod", "seconds"),
    [
        ({"status": ran(terminated={"startedAt": STARTED, "finishedAt": "2025-01-01T00:01:30Z"})}, 90),
        (
            {"status": ran(running={"startedAt": STARTED}), "metadata": {"deletionTimestamp": "2025-01-01T00:02:00Z"}},
            120,
        ),
        (
            {
                "status": {
                    **ran(running={"startedAt": STARTED}),
                    "conditions": [{"type": "DisruptionTarget", "lastTransitionTime": "2025-01-01T00:05:00Z"}],
                }
            },
            300,
        ),
        ({"status": ran(running={"startedAt": STARTED})}, None),
        ({"status": {"phase": "Pending"}, "metadata": {"deletionTimestamp": STARTED}}, None),
    ],
    ids=["ended", "deleted", "lost", "runs", "never ran"],
)
def test_how_long_it_ran_is_what_the_cluster_says(pod, seconds):
    assert end_of(pod).seconds == seconds


def test_what_a_lost_pod_used_is_recorded_by_the_next_that_can():
    pod = POD.model_copy(update={"gpu": "spot", "gpus": 2})
    classes = {"spot": GpuClass(price=0.5, on_demand="dear"), "dear": GpuClass(price=3.0)}
    first = following(End("node_lost", seconds=60), {}, pod, classes)
    spot = {"class": "spot", "devices": 2, "price": 0.5}
    assert first.changes["unpaid"] == [{"seconds": 60, "gpu": spot}]
    second = following(End("out_of_memory", seconds=30), {**first.changes, "gpu": "dear"}, pod, classes)
    dear = {"class": "dear", "devices": 2, "price": 3.0}
    assert second.changes["unpaid"] == [{"seconds": 60, "gpu": spot}, {"seconds": 30, "gpu": dear}]
    told = following(End("preempted", seconds=9, usage=Usage(8.0, 1)), second.changes, pod, classes)
    assert told.changes["unpaid"][2:] == [{"seconds": 8.0, "gpu": dear}]
    paid = following(End("preempted", seconds=9, usage=Usage(8.0, 1), charged=True), second.changes, pod, classes)
    assert "unpaid" not in paid.changes


@pytest.mark.parametrize("end", [End("node_lost", seconds=60), End("image", seconds=60), End("deadline", seconds=60)])
def test_what_a_try_leaves_to_be_recorded_is_the_next_trys(end):
    found = following(end, {"lost": 2})
    assert found.action in ("retry", "failed")
    assert found.changes["unpaid"] == [{"seconds": 60, "gpu": None}]
    failed = following(
        End("exited", outcome=FAULT, seconds=60, charged=True), {"unpaid": [{"seconds": 1, "gpu": None}]}
    )
    assert (failed.action, failed.changes) == ("outcome", {})


def test_a_pod_says_whether_it_recorded_what_it_used():
    message = {"path": "p", "usage": {"seconds": 1.0, "peak_memory_bytes": 1}, "outcome": json.loads(DONE.encode())}
    assert not end_of({"status": terminated("Completed", 0, json.dumps(message))}).charged
    assert end_of({"status": terminated("Completed", 0, json.dumps({**message, "charged": True}))}).charged


def test_a_pod_that_waits_says_for_what():
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert end_of({"status": {"phase": "Pending", "conditions": [unfit]}}).detail == f"Unschedulable: {message}"


def test_another_container_may_be_the_one_that_counts():
    assert end_of({"status": terminated()}, "main").cause == "running"


def test_the_outcome_is_in_the_termination_message():
    message = json.dumps({"path": "_outcomes/p.json", "outcome": json.loads(DONE.encode())})
    end = end_of({"status": terminated("Completed", 0, message)})
    assert (end.outcome, end.path, end.exit_code) == (DONE, "_outcomes/p.json", 0)


@pytest.mark.parametrize("message", ["", "Killed", "[1]", "{}", '{"outcome": {"type": "outcome"}}', '{"outcome": 3}'])
def test_a_message_that_is_not_ours_is_no_outcome(message):
    assert end_of({"status": terminated("Completed", 0, message)}).outcome is None


def test_a_sidecars_end_is_not_the_steps():
    status = terminated()
    status["containerStatuses"][0]["name"] = "istio-proxy"
    assert end_of({"status": status}).cause == "running"


def following(end, changes=None, pod=POD, classes=None):
    return next_of(end, pod, changes or {}, classes or {})


@pytest.mark.parametrize("cause", ["exited", "evicted", "preempted", "node_lost", "out_of_memory"])
def test_work_that_was_done_counts_whatever_became_of_its_pod(cause):
    found = following(End(cause, outcome=DONE))
    assert (found.action, found.outcome) == ("outcome", DONE)


def test_a_fault_is_the_steps_own_only_where_nobody_stopped_it():
    assert following(End("exited", outcome=FAULT)).outcome == FAULT
    assert following(End("preempted", outcome=FAULT)).action == "again"


@pytest.mark.parametrize("cause", ["evicted", "preempted", "node_lost", "device_lost"])
def test_a_lost_pod_is_replaced_so_often_and_no_more(cause):
    first = following(End(cause, "why"))
    assert (first.action, first.changes) == ("again", {"lost": 1})
    second = following(End(cause, "why"), first.changes)
    assert second.changes == {"lost": 2}
    last = following(End(cause, "why"), second.changes)
    assert (last.action, last.reason) == ("retry", f"3 pods were lost to the cluster, the last: {cause}: why")


def test_the_last_pod_runs_where_it_is_not_taken_away():
    pod = POD.model_copy(update={"gpu": "spot"})
    classes = {"spot": GpuClass(on_demand="dear"), "dear": GpuClass()}
    found = following(End("preempted"), {"lost": 1}, pod, classes)
    assert (found.changes, with_changes(pod, found.changes).gpu) == ({"lost": 2, "gpu": "dear"}, "dear")


def test_a_pod_that_lost_its_device_runs_on_another_node_each_time():
    first = following(End("device_lost", "why", node="n2"))
    assert first.changes == {"lost": 1, "avoid": ["n2"]}
    second = following(End("device_lost", "why", node="n1"), first.changes)
    assert second.changes == {"lost": 2, "avoid": ["n1", "n2"]}
    assert following(End("evicted", "why", node="n3"), first.changes).changes == {"lost": 2, "avoid": ["n2"]}


def test_out_of_memory_is_tried_once_with_more():
    found = following(End("out_of_memory"))
    assert (found.action, with_changes(POD, found.changes).memory) == ("again", "8Gi")
    again = following(End("out_of_memory"), found.changes)
    assert (again.action, again.reason) == (
        "failed",
        "out of memory at 8Gi; give `memory` more, or a `memory_ceiling` to try",
    )
    assert following(End("out_of_memory"), pod=Pod(image="i", memory="4Gi")).action == "failed"


@pytest.mark.parametrize(
    ("end", "action", "says"),
    [
        (End("image", "ErrImagePull: 401"), "failed", "image acme/train:1: ErrImagePull: 401"),
        (End("image", "ErrImagePull: 503 Service Unavailable"), "retry", "image acme/train:1: ErrImagePull: 503 Ser"),
        (End("image", "ErrImagePull: lookup acme: no such host"), "retry", "image acme/train:1: ErrImagePull: lookup "),
        (End("deadline", "DeadlineExceeded"), "failed", "the pod ran out of time: DeadlineExceeded"),
        (End("running", "Pending"), "retry", "the pod did not come to an end: Pending"),
        (
            End("exited", "", 0),
            "retry",
            "the pod ended with exit code 0 and left no outcome; its log says what happened",
        ),
    ],
)
def test_other_ends_say_what_they_are(end, action, says):
    found = following(end)
    assert found.action == action
    assert found.reason.startswith(says)

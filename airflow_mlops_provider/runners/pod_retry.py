"""What follows from a pod's end: its outcome, another pod, or a failure with a reason. A pure function."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.contracts.protocol import Outcome
from airflow_mlops_provider.runners.ending import INTERRUPTED, End
from airflow_mlops_provider.runners.usage import price_of

__all__ = ["Next", "next_of", "with_changes"]

# By its words: Kubernetes hands on what the registry said as text, and nothing else.
_AWAY = re.compile(
    r"too many requests|toomanyrequests|rate ?limit|qps exceeded|unavailable|timeout|timed out|bad gateway"
    r"|internal server error|no such host|connection (refused|reset)|no route to host|TLS handshake|unexpected EOF",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Next:
    """The step has ended; another pod runs, with `changes`; it failed for good; it failed and a retry may help.

    `changes` are also what the next try should know.
    """

    action: Literal["outcome", "again", "failed", "retry"]
    reason: str = ""
    outcome: Outcome | None = None
    changes: Mapping[str, Any] | None = None


def next_of(end: End, pod: Pod, changes: Mapping[str, Any], classes: Mapping[str, GpuClass]) -> Next:
    """Return what follows. `changes` are those that made this pod; plain JSON, kept from pod to pod.

    An outcome that is no failure counts whatever became of the pod. A pod that the cluster took away is replaced
    `pod.interruptions` times, the last time on its GPU class's `on_demand` class if it has one; one that lost its
    device, on another node. Out of memory is answered once with `memory_ceiling`. What a pod used and could not tell
    is recorded by the next one.
    """
    made = _with_its_price(end, pod, changes, classes)
    found = _following(end, pod, made, classes)
    return found if found.changes is not None else replace(found, changes=made)


def _following(end: End, pod: Pod, changes: Mapping[str, Any], classes: Mapping[str, GpuClass]) -> Next:
    said = end.outcome
    if said is not None and (said.status != "failed" or end.cause == "exited"):
        return Next("outcome", outcome=said)
    if end.cause in INTERRUPTED:
        return _replaced(end, pod, changes, classes)
    if end.cause == "out_of_memory":
        return _with_more_memory(pod, changes)
    return _failed(end, pod)


def with_changes(pod: Pod, changes: Mapping[str, Any]) -> Pod:
    """Return the pod as an earlier end wants it: with more memory, or on another GPU class."""
    return pod.model_copy(update={key: changes[key] for key in ("memory", "gpu") if key in changes})


def _with_its_price(end: End, pod: Pod, changes: Mapping[str, Any], classes: Mapping[str, GpuClass]) -> dict[str, Any]:
    """Return the changes with what is left to be recorded: nothing where this pod did so."""
    others = {key: value for key, value in changes.items() if key != "unpaid"}
    if end.charged:
        return others
    unpaid = [*changes.get("unpaid", ())]
    if seconds := end.usage.seconds if end.usage else end.seconds:
        unpaid.append({"seconds": seconds, "gpu": price_of(with_changes(pod, changes), classes)})
    return {**others, "unpaid": unpaid} if unpaid else others


def _replaced(end: End, pod: Pod, changes: Mapping[str, Any], classes: Mapping[str, GpuClass]) -> Next:
    lost = int(changes.get("lost", 0)) + 1
    if lost > pod.interruptions:
        return Next("retry", f"{lost} pods were lost to the cluster, the last: {end.cause}: {end.detail}")
    found = {**changes, "lost": lost}
    if end.cause == "device_lost" and end.node:
        found["avoid"] = sorted({*changes.get("avoid", ()), end.node})
    spot = classes.get(pod.gpu) if pod.gpu else None
    moved = ""
    if lost == pod.interruptions and spot is not None and spot.on_demand:
        found["gpu"] = spot.on_demand
        moved = f", now as {spot.on_demand}"
    return Next("again", f"{end.cause}: {end.detail}; another pod, {lost} of {pod.interruptions}{moved}", changes=found)


def _with_more_memory(pod: Pod, changes: Mapping[str, Any]) -> Next:
    had = changes.get("memory") or pod.memory or "the node's memory"
    if pod.memory_ceiling and "memory" not in changes:
        more = {**changes, "memory": pod.memory_ceiling}
        return Next("again", f"out of memory at {had}; once more with {pod.memory_ceiling}", changes=more)
    return Next("failed", f"out of memory at {had}; give `memory` more, or a `memory_ceiling` to try")


def _failed(end: End, pod: Pod) -> Next:
    if end.cause == "image":
        # A registry that is away comes back; one that says no says it again.
        action: Literal["retry", "failed"] = "retry" if _AWAY.search(end.detail) else "failed"
        return Next(action, f"image {pod.image}: {end.detail}")
    if end.cause == "deadline":
        return Next("failed", f"the pod ran out of time: {end.detail}")
    if end.cause == "running":
        return Next("retry", f"the pod did not come to an end: {end.detail}")
    code = "" if end.exit_code is None else f" with exit code {end.exit_code}"
    return Next("retry", f"the pod ended{code} and left no outcome; its log says what happened")

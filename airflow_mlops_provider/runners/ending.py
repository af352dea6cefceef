"""Why a pod ended: the cause behind Kubernetes' many ways to say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from airflow_mlops_provider.contracts.protocol import Outcome, ProtocolError, decode
from airflow_mlops_provider.runners.cuda import advised, lost_device
from airflow_mlops_provider.runners.kubernetes import CONTAINER
from airflow_mlops_provider.runners.usage import Usage

__all__ = ["INTERRUPTED", "Cause", "End", "end_of"]

Cause = Literal[
    "exited", "out_of_memory", "evicted", "preempted", "node_lost", "device_lost", "image", "deadline", "running"
]
# The cluster took the pod away; the work itself did nothing wrong.
INTERRUPTED: frozenset[Cause] = frozenset({"evicted", "preempted", "node_lost", "device_lost"})

_DISRUPTIONS: dict[str, Cause] = {
    "PreemptionByScheduler": "preempted",
    "EvictionByEvictionAPI": "evicted",
    "DeletionByTaintManager": "node_lost",
    "DeletionByPodGC": "node_lost",
    "TerminationByKubelet": "evicted",
}
_REASONS: dict[str, Cause] = {
    "Evicted": "evicted",
    "Preempting": "preempted",
    # A node that shuts down in order, as a spot instance does that is reclaimed.
    "Terminated": "preempted",
    "NodeShutdown": "preempted",
    "NodeLost": "node_lost",
    "NodeAffinity": "node_lost",
    "UnexpectedAdmissionError": "device_lost",
    "DeadlineExceeded": "deadline",
}
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}


@dataclass(frozen=True, slots=True)
class End:
    """How a pod ended, on which node. `outcome` is what the step said itself; `path` where in the lake it said so.

    `usage` is what its main measured and told, `charged` whether it recorded that and all that pods before it had left
    to be recorded; `seconds` how long Kubernetes says that its container ran.
    """

    cause: Cause
    detail: str = ""
    exit_code: int | None = None
    outcome: Outcome | None = None
    path: str | None = None
    node: str | None = None
    usage: Usage | None = None
    seconds: float | None = None
    charged: bool = False


def end_of(pod: Mapping[str, Any], container: str = CONTAINER) -> End:
    """Return the end of a pod, given as the API's JSON. What the cluster did goes before what the container did."""
    status = pod.get("status") or {}
    statuses = [c for c in status.get("containerStatuses") or () if c.get("name") == container]
    found = statuses[0] if statuses else {}
    ended = (found.get("state") or {}).get("terminated") or {}
    outcome, path = _said(ended.get("message") or "")
    cause, detail = _cause(status, found, ended)
    if cause == "exited" and outcome is not None and lost_device(outcome):
        cause, detail = "device_lost", outcome.error
    if cause == "running" and (pod.get("metadata") or {}).get("deletionTimestamp"):
        cause, detail = "node_lost", "somebody deleted the pod, and its node does not answer"
    node = (pod.get("spec") or {}).get("nodeName")
    message = ended.get("message") or ""
    usage, charged = Usage.told(message), _charged(message)
    return End(cause, detail, ended.get("exitCode"), outcome, path, node, usage, _seconds(pod, found), charged)


def _cause(status: Mapping[str, Any], container: Mapping[str, Any], ended: Mapping[str, Any]) -> tuple[Cause, str]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _IMAGE:
        return "image", f"{waiting['reason']}: {waiting.get('message') or ''}".rstrip(": ")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            reason = str(condition.get("reason"))
            return _DISRUPTIONS.get(reason, "evicted"), f"{reason}: {condition.get('message') or ''}".rstrip(": ")
    said = str(status.get("reason"))
    if said in _REASONS:
        return _REASONS[said], f"{said}: {status.get('message') or ''}".rstrip(": ")
    if ended.get("reason") == "OOMKilled":
        return "out_of_memory", "OOMKilled"
    if ended:
        return "exited", str(ended.get("reason") or "")
    return "running", _waits(status, waiting)


def _charged(message: str) -> bool:
    try:
        data = json.loads(message)
    except ValueError:
        return False
    return isinstance(data, dict) and data.get("charged") is True


def _seconds(pod: Mapping[str, Any], container: Mapping[str, Any]) -> float | None:
    """Return how long the container ran; of one whose node is silent, until the cluster gave it up."""
    state = container.get("state") or {}
    ended, status = state.get("terminated") or {}, pod.get("status") or {}
    given_up = [
        c.get("lastTransitionTime") for c in status.get("conditions") or () if c.get("type") == "DisruptionTarget"
    ]
    ends = [ended.get("finishedAt"), *given_up, (pod.get("metadata") or {}).get("deletionTimestamp")]
    start = (ended or state.get("running") or {}).get("startedAt")
    end = next(filter(None, ends), None)
    return (_time(end) - _time(start)).total_seconds() if start and end else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _waits(status: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    """Return why a pod that is not over has not started, or else its phase."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason') or 'not scheduled'}: {condition.get('message') or ''}".rstrip(": ")
    return f"{waiting.get('reason') or status.get('phase') or ''}: {waiting.get('message') or ''}".rstrip(": ")


def _said(message: str) -> tuple[Outcome | None, str | None]:
    """Return the outcome and its place in the lake from a termination message; nothing from one that is not ours."""
    try:
        data = json.loads(message)
        path = data.get("path")
        outcome = decode(json.dumps(data["outcome"])) if data.get("outcome") else None
    except (ValueError, AttributeError, ProtocolError):
        # The image's own words, or none: not the protocol, so no outcome, and that is what the caller will say.
        return None, None
    return (advised(outcome) if isinstance(outcome, Outcome) else None), (path if isinstance(path, str) else None)

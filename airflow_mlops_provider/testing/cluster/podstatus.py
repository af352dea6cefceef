"""A pod's phase and conditions from the states of its containers, as kubelet computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops_provider.testing.cluster.containers import Container
from airflow_mlops_provider.testing.cluster.objects import Json, stamp

__all__ = ["condition", "phase_of", "status_of", "with_condition"]

ADDRESS = "127.0.0.1"


def phase_of(init: Sequence[Container], main: Sequence[Container], restart_policy: str) -> str:
    """Return Pending, Running, Succeeded or Failed."""
    if any(container.exit_code not in (None, 0) for container in init) and restart_policy == "Never":
        return "Failed"
    if any(container.exit_code is None for container in init):
        return "Pending"
    if any("running" in container.state for container in main):
        return "Running"
    if any("waiting" in container.state for container in main):
        return "Running" if any(container.logs for container in main) else "Pending"
    failed = any(container.exit_code for container in main)
    if restart_policy == "Always" or (failed and restart_policy == "OnFailure"):
        return "Running"
    return "Failed" if failed else "Succeeded"


def status_of(
    before: Json, init: Sequence[Container], main: Sequence[Container], restart_policy: str, ended: Mapping[str, str]
) -> Json:
    """Return the whole status; `ended` has phase, reason and message where something other than exits ended the pod."""
    phase = ended.get("phase") or phase_of(init, main, restart_policy)
    status = {**before, **ended, "phase": phase, "hostIP": ADDRESS, "hostIPs": [{"ip": ADDRESS}]}
    status |= {"podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    status["containerStatuses"] = [container.status() for container in main]
    if init:
        status["initContainerStatuses"] = [container.status() for container in init]
    for made in _conditions(phase, init, main):
        status = with_condition(status, made)
    return status


def condition(kind: str, *, holds: bool, reason: str = "", message: str = "") -> Json:
    """Return a condition that changes now."""
    said = {name: text for name, text in (("reason", reason), ("message", message)) if text}
    return {"type": kind, "status": str(holds), "lastProbeTime": None, "lastTransitionTime": stamp(), **said}


def with_condition(status: Json, made: Json) -> Json:
    """Return the status with this condition; one that holds as before keeps the time of its last change."""
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    known = conditions.get(made["type"])
    if known and known["status"] == made["status"]:
        made = made | {"lastTransitionTime": known["lastTransitionTime"]}
    return {**status, "conditions": list((conditions | {made["type"]: made}).values())}


def _conditions(phase: str, init: Sequence[Container], main: Sequence[Container]) -> list[Json]:
    unready = [container.name for container in main if "running" not in container.state]
    waiting = [container.name for container in init if container.exit_code != 0]
    reasons = {"Succeeded": ("PodCompleted", ""), "Failed": ("PodFailed", "")}
    why = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    reason, message = reasons.get(phase, why) if unready or phase in reasons else ("", "")
    ready = not reason
    incomplete = f"containers with incomplete status: [{' '.join(waiting)}]"
    return [
        condition("PodReadyToStartContainers", holds=phase not in reasons),
        condition("Initialized", holds=True, reason="PodCompleted" if phase == "Succeeded" else "")
        if not waiting
        else condition("Initialized", holds=False, reason="ContainersNotInitialized", message=incomplete),
        condition("Ready", holds=ready, reason=reason, message=message),
        condition("ContainersReady", holds=ready, reason=reason, message=message),
    ]

"""What ends a pod from outside: eviction, preemption, a node that falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from airflow_mlops_provider.testing.cluster.faults import Evict, NodeLost, Preempt
from airflow_mlops_provider.testing.cluster.node import Node
from airflow_mlops_provider.testing.cluster.podstatus import condition, with_condition
from airflow_mlops_provider.testing.cluster.record import Record

__all__ = ["disrupt"]


class _Run(Protocol):
    node: Node
    record: Record

    def end(self, grace_s: float, **how: str) -> Awaitable[None]: ...


async def disrupt(run: _Run, fault: Evict | Preempt | NodeLost) -> None:
    """Let the fault happen to the pod now."""
    if run.record.over:
        return
    if isinstance(fault, Evict):
        await _evict(run, fault)
    elif isinstance(fault, Preempt):
        await _preempt(run)
    else:
        await _lose_node(run, fault)


async def _evict(run: _Run, fault: Evict) -> None:
    run.record.tell("Evicted", fault.message)
    _mark(run, "TerminationByKubelet", fault.message)
    await run.end(fault.grace_s, phase="Failed", reason="Evicted", message=fault.message)


async def _preempt(run: _Run) -> None:
    run.record.tell("Preempted", f"Preempted by a pod on node {run.node.name}", source="default-scheduler")
    _mark(run, "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
    await run.node.delete(run.record.key, None)


async def _lose_node(run: _Run, fault: NodeLost) -> None:
    run.record.lost = True
    run.record.tell("NodeNotReady", "Node is not ready", source="node-controller")
    said = f"Node {run.node.name} which was running pod {run.record.key.name} is unresponsive"
    pod = run.record.pod
    status = pod["status"] | {"phase": "Unknown", "reason": "NodeLost", "message": said}
    for kind in ("Ready", "ContainersReady"):
        status = with_condition(status, condition(kind, holds=False, reason="NodeLost", message=said))
    run.record.keep(pod | {"status": status})
    _mark(run, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    await asyncio.sleep(fault.gone_after_s)
    await run.node.delete(run.record.key, 0)


def _mark(run: _Run, reason: str, message: str) -> None:
    run.record.mark(condition("DisruptionTarget", holds=True, reason=reason, message=message))

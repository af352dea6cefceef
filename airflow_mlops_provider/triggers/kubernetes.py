"""Trigger of a pod that a step runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState, KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

__all__ = ["StepPodTrigger", "abandoned"]

# An event that comes while the deferred task's process is still ending makes Airflow fail the task: the supervisor
# notices that end up to five seconds late at its default heartbeat.
_EARLIEST_S = 10.0
# So long after its grace period a deleted pod should be gone, wherever its node is.
_ABANDONED_AFTER = timedelta(seconds=60)


class StepPodTrigger(KubernetesPodTrigger):  # type: ignore[misc]  # untyped there
    """KubernetesPodOperator's trigger, whose event never comes earlier than ten seconds after it started.

    A pod that was deleted and whose node does not answer counts as failed: it would be running for ever.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.StepPodTrigger", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event of the pod's end."""
        started = time.monotonic()
        async for event in super().run():
            # Who stops the task while its event waits still wants the pod deleted.
            self._fired_event = False
            await asyncio.sleep(max(0.0, _EARLIEST_S - (time.monotonic() - started)))
            self._fired_event = True
            yield event

    def define_pod_container_state(self, pod: Any) -> ContainerState:
        """Return the state as KubernetesPodTrigger sees it; failed for a pod that nobody will ever end."""
        return ContainerState.FAILED if abandoned(pod) else super().define_pod_container_state(pod)


def abandoned(pod: Any) -> bool:  # of either client
    """Tell whether a pod that was deleted should long be gone: its node does not answer."""
    until = pod.metadata.deletion_timestamp
    return until is not None and datetime.now(UTC) - until > _ABANDONED_AFTER

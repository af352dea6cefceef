"""Trigger of a pod that a step runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

__all__ = ["StepPodTrigger"]

# An event that comes while the deferred task's process is still ending makes Airflow fail the task: the supervisor
# notices that end up to five seconds late at its default heartbeat.
_EARLIEST_S = 10.0


class StepPodTrigger(KubernetesPodTrigger):  # type: ignore[misc]  # untyped there
    """KubernetesPodOperator's trigger, whose event never comes earlier than ten seconds after it started."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.StepPodTrigger", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event of the pod's end."""
        started = time.monotonic()
        async for event in super().run():
            await asyncio.sleep(max(0.0, _EARLIEST_S - (time.monotonic() - started)))
            yield event

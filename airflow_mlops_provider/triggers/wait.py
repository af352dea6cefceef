"""The wait that every trigger shares."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_mlops_provider.triggers.shared import found_by

__all__ = ["FIRST_LOOK_S", "WaitTrigger"]

# A trigger that fires within some seconds of its deferral can leave the task failed: the executor's word of the
# deferral comes up to 5 s late (the supervisor's heartbeat), and the scheduler takes it for a lost task.
FIRST_LOOK_S = 10.0


class WaitTrigger(BaseEventTrigger):
    """Looks, first after ten seconds and then every `poke_interval` seconds, until there is an event.

    A task's trigger ends with it; that of an `AssetWatcher` goes on.
    """

    def __init__(self, poke_interval: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.poke_interval = poke_interval

    @property
    @abstractmethod
    def watched(self) -> tuple[str, ...]:
        """What is looked at: triggers for which it is equal share one look."""

    @abstractmethod
    async def look(self) -> Any:
        """Return the present state of what is watched."""

    @abstractmethod
    def event(self, found: Any) -> dict[str, Any] | None:
        """Return the payload of a state that was waited for, and remember the state."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event."""
        await asyncio.sleep(FIRST_LOOK_S)
        async with aclosing(found_by((type(self), *self.watched), self.look, self.poke_interval)) as states:
            async for found in states:
                if (payload := self.event(found)) is not None:
                    yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's own
                    if self.task_instance is not None:
                        return

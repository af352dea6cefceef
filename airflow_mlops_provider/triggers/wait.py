"""The wait that every trigger shares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

__all__ = ["FIRST_LOOK_S", "looks"]

# A trigger that fires within some seconds of its deferral can leave the task failed: the executor's word of the
# deferral comes up to 5 s late (the supervisor's heartbeat), and the scheduler takes it for a lost task.
FIRST_LOOK_S = 10.0


async def looks(poke_interval: float) -> AsyncIterator[None]:
    """Yield when it is time to look: first after ten seconds, then every `poke_interval` seconds."""
    await asyncio.sleep(FIRST_LOOK_S)
    while True:
        yield
        await asyncio.sleep(poke_interval)

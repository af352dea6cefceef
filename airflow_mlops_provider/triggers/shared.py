"""One look at a table or a registry for all the triggers of a triggerer that wait for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from types import TracebackType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

__all__ = ["found_by"]

Look = Callable[[], Awaitable[Any]]

# Looks that many pipelines began together drift apart by so much of their interval.
_JITTER = 0.1


async def found_by(key: Hashable, look: Look, interval: float) -> AsyncGenerator[Any]:
    """Yield what `look` finds: what is known now, then each other value, at least every `interval` seconds.

    All who ask in one event loop with an equal `key` share one look, in the shortest of their intervals; it is made
    while somebody waits. What it raises is raised to each of them.
    """
    looks = _LOOKS.setdefault(asyncio.get_running_loop(), {})
    shared = looks.get(key)
    if shared is None or shared.failed:
        shared = looks[key] = _Shared(look)
    queue = shared.join(interval)
    try:
        while True:
            found = await queue.get()
            if isinstance(found, _Failure):
                # One exception for all: each raise would add its frames to those of the others.
                raise found.error.with_traceback(found.origin)
            yield found
    finally:
        if shared.leave(queue) and looks.get(key) is shared:
            del looks[key]


class _Failure(NamedTuple):
    """What a look raised, and where."""

    error: Exception
    origin: TracebackType | None


class _Shared:
    """A look, and who waits for what it finds, with the longest that each may wait."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._waiting: dict[asyncio.Queue[Any], float] = {}
        self._known: list[Any] = []
        self._joined = asyncio.Event()
        self.failed = False
        self._task = asyncio.create_task(self._run())

    def join(self, interval: float) -> asyncio.Queue[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for found in self._known:
            queue.put_nowait(found)
        self._waiting[queue] = interval
        self._joined.set()
        return queue

    def leave(self, queue: asyncio.Queue[Any]) -> bool:
        """Look no longer where nobody waits any more; return whether that is so."""
        del self._waiting[queue]
        if not self._waiting:
            self._task.cancel()
        return not self._waiting

    async def _run(self) -> None:
        while True:
            try:
                found = [await self._look()]
            except Exception as exc:  # noqa: BLE001  # every waiter raises it
                self.failed = True
                self._tell(_Failure(exc, exc.__traceback__))
                return
            if found != self._known:
                self._known = found
                self._tell(found[0])
            await self._pause()

    def _tell(self, found: Any) -> None:
        for queue in self._waiting:
            queue.put_nowait(found)

    async def _pause(self) -> None:
        """Wait for the shortest interval; a newcomer may have a shorter one."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        stretch = random.uniform(1 - _JITTER, 1)
        while (left := began + min(self._waiting.values()) * stretch - loop.time()) > 0:
            self._joined.clear()
            try:
                await asyncio.wait_for(self._joined.wait(), left)
            except TimeoutError:
                return


_LOOKS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared]] = WeakKeyDictionary()

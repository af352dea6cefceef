"""Tasks that nobody awaits, whose errors show all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["Tasks", "report"]


class Tasks:
    """The tasks in the background of one owner."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:  # Any: what asyncio sends and yields, nobody's concern
        """Start `work`."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(report)

    def cancel(self) -> None:
        """Cancel all but the one that asks."""
        for task in self._running - {asyncio.current_task()}:
            task.cancel()

    async def done(self) -> None:
        """Wait until all have ended."""
        if self._running:
            await asyncio.wait(self._running)


def report(task: asyncio.Task[Any]) -> None:  # Any: of any result
    """Give a task's error to the loop's handler: it is an error of the cluster itself."""
    if not task.cancelled() and (fault := task.exception()):
        task.get_loop().call_exception_handler({"message": "a task failed", "exception": fault, "task": task})

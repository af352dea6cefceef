"""A container's log, and the part of it that a reader asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from airflow_mlops_provider.testing.cluster.objects import now

__all__ = ["Log", "LogOptions"]


@dataclass(frozen=True)
class LogOptions:
    """What the log's reader asks for: the query parameters of `GET .../log`."""

    follow: bool = False
    timestamps: bool = False
    since: datetime | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None


class Log:
    """Lines with the time each was begun; a last line may have no end."""

    def __init__(self) -> None:
        self._lines: list[tuple[datetime, bytes]] = []
        self._part = b""
        self._part_at = now()
        self._closed = False
        self._moved: set[asyncio.Event] = set()

    def write(self, data: bytes) -> None:
        """Add what the container wrote."""
        if not self._part:
            self._part_at = now()
        *lines, self._part = (self._part + data).split(b"\n")
        at = self._part_at
        for line in lines:
            self._lines.append((at, line + b"\n"))
            at = now()
        self._part_at = at
        self._wake()

    def close(self) -> None:
        """The container has ended: followers see the end."""
        if self._part:
            self._lines.append((self._part_at, self._part))
            self._part = b""
        self._closed = True
        self._wake()

    def tail(self, *, lines: int, size: int) -> str:
        """Return the last lines, no more than `size` bytes of them."""
        text = b"".join(line for _, line in self._lines[-lines:])
        return text[-size:].decode(errors="replace")

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """Yield the lines asked for; a follower gets what is added until the container ends."""
        left = options.limit_bytes
        async for at, line in self._from(self._first(options), follow=options.follow):
            said = _stamped(at, line) if options.timestamps else line
            if left is not None:
                said = said[:left]
                left -= len(said)
            yield said
            if left == 0:
                return

    def _first(self, options: LogOptions) -> int:
        first = 0
        if options.since is not None:
            since = options.since
            first = next((n for n, (at, _) in enumerate(self._lines) if at >= since), len(self._lines))
        if options.tail_lines is not None:
            first = max(first, len(self._lines) - options.tail_lines)
        return first

    async def _from(self, index: int, *, follow: bool) -> AsyncIterator[tuple[datetime, bytes]]:
        moved = asyncio.Event()
        self._moved.add(moved)
        try:
            while True:
                moved.clear()
                while index < len(self._lines):
                    yield self._lines[index]
                    index += 1
                if self._closed or not follow:
                    return
                await moved.wait()
        finally:
            self._moved.discard(moved)

    def _wake(self) -> None:
        for moved in self._moved:
            moved.set()


def _stamped(at: datetime, line: bytes) -> bytes:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() + line

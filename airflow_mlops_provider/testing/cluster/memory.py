"""A container's memory limit, held from outside: who takes more is killed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["exceeds"]

# No process fills memory faster than about this: the further from the limit, the later the next look.
_BYTES_PER_S = 2e9
_SHORTEST_S, _LONGEST_S = 0.01, 0.5


async def exceeds(pid: int, limit: int) -> None:
    """Return once the process tree of `pid` holds more than `limit` bytes of its own; cancel it when the tree ends."""
    while (left := limit - _resident(pid, shared=True)) >= 0 or _resident(pid, shared=False) <= limit:
        await asyncio.sleep(min(max(left / _BYTES_PER_S, _SHORTEST_S), _LONGEST_S))


def _resident(pid: int, *, shared: bool) -> int:
    """Return bytes of anonymous and shared memory; without `shared` each page counts once, which takes longer."""
    file, names = ("status", "RssAnon|RssShmem") if shared else ("smaps_rollup", "Pss_Anon|Pss_Shmem")
    form = re.compile(rf"^(?:{names}):\s+(\d+) kB", re.MULTILINE)
    return sum(int(amount) * 1024 for one in _tree(pid) for amount in form.findall(_read(f"/proc/{one}/{file}")))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(str(task)).split():
            yield from _tree(int(child))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it ended between two looks

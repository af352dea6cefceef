"""Start processes that have every tool imported already, and end them with SIGKILL, at a commit or at any moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from airflow_mlops_provider.steps.lake import Lake

__all__ = ["CONTEXT", "Point", "die_at", "end", "start", "stop"]

# Children come from a server that has imported the tools and used none: a fork of a process that has threads may hang.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.chaos.preload"])

_LONGEST_S = 120.0


@dataclass(frozen=True)
class Point:
    """A moment in a process's life: before or after its `commit`-th commit to the lake, counted from 1."""

    when: Literal["before", "after"]
    commit: int


def die_at(point: Point | None) -> None:
    """Let this process kill itself at `point`: SIGKILL leaves no time to tidy up, whoever sends it."""
    if point is None:
        return
    write_once, commits = Lake.write_once, 0

    def mortal(self: Lake, *args: Any, **kwargs: Any) -> Any:
        nonlocal commits
        commits += 1
        if point == Point("before", commits):
            os.kill(os.getpid(), signal.SIGKILL)
        written = write_once(self, *args, **kwargs)
        if point == Point("after", commits):
            os.kill(os.getpid(), signal.SIGKILL)
        return written

    Lake.write_once = mortal  # type: ignore[method-assign]


def start(function: Callable[..., None], *args: Any) -> Any:  # multiprocessing's process
    """Start a process that runs a module's function and then ends at once, as the package's own workers do."""
    process = CONTEXT.Process(target=_run, args=(function, args))
    process.start()
    return process


def stop(process: Any, after_s: float) -> bool:
    """Kill a process after some seconds; False where it ended before."""
    process.join(after_s)
    if process.exitcode is not None:
        return False
    process.kill()
    process.join()
    return True


def end(process: Any) -> int:
    """Wait for a process and return its exit code. Raises TimeoutError if it hangs."""
    process.join(_LONGEST_S)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"process {process.pid} did not end in {_LONGEST_S} s")
    return int(process.exitcode)


def _run(function: Callable[..., None], args: tuple[Any, ...]) -> None:
    function(*args)
    # Delta's reader may abort a process that is torn down, long after its work was done.
    os._exit(0)

"""`python -m tests.bench.triggers_child '[folder, triggers, seconds, versions]'`: many triggers on one table."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import psutil

__all__ = ["main"]

# Another process writes: its work is not the triggerer's. It prints when a version was there.
_WRITER = """
import sys, time
import pyarrow as pa
from airflow_mlops_provider.steps.lake import Lake
lake = Lake(sys.argv[1])
for n in range(int(sys.argv[2])):
    sys.stdin.readline()
    lake.write_once("drift", pa.table({"n": [n]}), app=str(n))
    print(time.time(), flush=True)
"""


def main() -> None:
    folder, triggers, seconds, versions = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(_measured(folder, triggers, seconds, versions))), flush=True)


async def _measured(folder: str, triggers: int, seconds: float, versions: int) -> dict[str, Any]:
    from airflow_mlops_provider.triggers import wait
    from airflow_mlops_provider.triggers.dataset import DatasetVersionTrigger

    wait.FIRST_LOOK_S = 0.0
    command = [sys.executable, "-c", _WRITER, folder, str(versions)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        await _written(writer)
        one = await _started([DatasetVersionTrigger(lake=folder, table="drift", after=1, poke_interval=1.0)])
        await asyncio.sleep(2)
        _stop(one)
        await asyncio.sleep(1)
        before = psutil.Process().memory_info().rss
        idle = await _share(await _started([_Sleeping() for _ in range(triggers)]), seconds)
        made = [DatasetVersionTrigger(lake=folder, table="drift", after=1, poke_interval=1.0) for _ in range(triggers)]
        told: list[float] = []
        running = [asyncio.create_task(_watch(trigger, told)) for trigger in made]
        await asyncio.sleep(2)
        share = await _share(running, seconds, stop=False)
        more = psutil.Process().memory_info().rss - before
        late = []
        for _ in range(versions - 1):
            told.clear()
            there = await _written(writer)
            while len(told) < triggers:
                await asyncio.sleep(0.01)
            late += [at - there for at in told]
        _stop(running)
        writer.stdin.close()  # type: ignore[union-attr]  # a pipe, as asked for
    return {"share": share, "idle": idle, "mb": more / 1e6, "late": sorted(late)}


class _Sleeping:
    """What any trigger costs that wakes up once a second and looks at nothing."""

    async def run(self) -> Any:
        while True:
            await asyncio.sleep(1.0)
            if time.time() < 0:
                yield


async def _started(triggers: list[Any]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(_watch(trigger, [])) for trigger in triggers]


async def _watch(trigger: Any, told: list[float]) -> None:
    async for _ in trigger.run():
        told.append(time.time())  # noqa: PERF401  # when each comes, not when all are there


async def _share(tasks: list[asyncio.Task[None]], seconds: float, *, stop: bool = True) -> float:
    """Return the percentage of a core that this process uses meanwhile."""
    began, busy = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    share = 100 * (time.process_time() - busy) / (time.monotonic() - began)
    if stop:
        _stop(tasks)
    return share


def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _written(writer: subprocess.Popen[str]) -> float:
    """Let the writer commit a version; return when it was there."""
    assert writer.stdin
    assert writer.stdout
    writer.stdin.write("\n")
    writer.stdin.flush()
    return float(await asyncio.to_thread(writer.stdout.readline))


if __name__ == "__main__":
    main()

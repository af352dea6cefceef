"""`python -m tests.bench.waiting_pods_child '[folder, side, phase, pods, seconds, ends]'`: a triggerer with pods."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import psutil

from tests.bench.waiting_pods_api import name_of

__all__ = ["main"]

# Who is later than that has not heard of it at all.
_LIMIT_S = 300


def main() -> None:
    given = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(_measured(*given))), flush=True)
    os._exit(0)


async def _measured(home: str, side: str, phase: str, pods: int, seconds: float, ends: int) -> dict[str, Any]:
    import airflow.jobs.triggerer_job_runner  # noqa: F401  # the triggerer before its first trigger

    before = psutil.Process().memory_info().rss
    # Another process has the pods: its work is not the triggerer's.
    command = [sys.executable, "-m", "tests.bench.waiting_pods_api", home, str(pods), phase]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as api:
        assert api.stdout
        os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = await asyncio.to_thread(api.stdout.readline)
        told: dict[int, float] = {}
        running = [asyncio.create_task(_watch(_trigger(side, number), number, told)) for number in range(pods)]
        # Till all have looked, and the earliest that an event may come has passed.
        await asyncio.sleep(15)
        share = await _share(seconds)
        more = psutil.Process().memory_info().rss - before
        if told:
            raise RuntimeError(f"pods {sorted(told)} ended by themselves")
        ended = await _ended(api, ends)
        async with asyncio.timeout(_LIMIT_S):
            await asyncio.gather(*running[:ends])
        for task in running:
            task.cancel()
        api.kill()
    return {"share": share, "mb": more / 1e6, "late": [told[number] - at for number, at in enumerate(ended)]}


def _trigger(side: str, number: int) -> Any:
    """Return the trigger with what its operator gives by default."""
    from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger

    given: dict[str, Any] = {
        "pod_name": name_of(number),
        "pod_namespace": "default",
        "trigger_start_time": datetime.now(UTC),
        "base_container_name": "base",
        "kubernetes_conn_id": "kubernetes_default",
        "poll_interval": 2,
    }
    if side == "peer":
        return KubernetesPodTrigger(**given)
    from airflow_mlops_provider.triggers.kubernetes import StepPodTrigger

    return StepPodTrigger(**given, logging_interval=30)


async def _watch(trigger: Any, number: int, told: dict[int, float]) -> None:
    async for event in trigger.run():
        if event.payload["status"] != "success":
            raise RuntimeError(f"pod {number}: {event.payload}")
        told[number] = time.time()


async def _share(seconds: float) -> float:
    """Return the percentage of a core that this process uses meanwhile."""
    began, busy = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    return 100 * (time.process_time() - busy) / (time.monotonic() - began)


async def _ended(api: subprocess.Popen[str], ends: int) -> list[float]:
    """Let so many pods end one after the other; return when each did."""
    assert api.stdin
    assert api.stdout
    api.stdin.write(f"{ends}\n")
    api.stdin.flush()
    ended: list[float] = json.loads(await asyncio.to_thread(api.stdout.readline))
    return ended


if __name__ == "__main__":
    main()

"""A live Airflow whose scheduler, triggerer and workers are killed while a decision becomes a training."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import mlflow
import psutil

from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.promotions import PromotionLedger
from include.demo.airflow_api import DONE
from tests.chaos.result import Found
from tests.live.airflow import LiveAirflow
from tests.live.daemons import Daemon
from tests.live.data import month

__all__ = ["run", "trials"]

PIPELINE = "often"
# A batch goes from data to training in about half a minute: the kills fall around all of its events.
LATEST_S = 25.0


def run(n: int, home: Path, draw: random.Random) -> Found:
    live, daemons = LiveAirflow(home), []
    try:
        live.start()
        daemons += [Daemon(live, "scheduler"), Daemon(live, "triggerer")]
        return trials(live, *daemons, n, draw)
    finally:
        for daemon in daemons:
            daemon.stop()
        live.stop()


def trials(live: LiveAirflow, scheduler: Daemon, triggerer: Daemon, n: int, draw: random.Random) -> Found:
    """Give `n` batches to the pipeline, each while one of them is killed; each is decided and trained on once."""
    found = Found("scheduler, triggerer, workers killed while batches are decided and trained on", n)
    kills = [_killed(scheduler), _killed(triggerer), lambda: _kill_workers(scheduler)]
    for number in range(n):
        before = len(_trainings(live))
        moment = month(1) + timedelta(days=number)
        live.api.call("POST", f"/dags/{PIPELINE}-data/dagRuns", json={"logical_date": moment.isoformat()})
        time.sleep(draw.uniform(0, LATEST_S))
        found.kills += kills[number % len(kills)]()
        live.wait(f"batch {number} is trained on", lambda: _trained(live, before + 1))  # noqa: B023 - called at once
        _verify(live, number + 1, found)
    return found


def _killed(daemon: Daemon) -> Callable[[], int]:
    """Return what kills a daemon with all that it runs, and starts another one."""

    def kill() -> int:
        daemon.kill(tasks=True)
        daemon.start()
        return 1

    return kill


def _kill_workers(scheduler: Daemon) -> int:
    """Kill the processes that run a task, where there are any, and let the scheduler live."""
    workers = [process for process in scheduler.process.children(recursive=True) if process.children()]
    for process in workers:
        process.kill()
    psutil.wait_procs(workers, timeout=10)
    return len(workers)


def _trainings(live: LiveAirflow) -> list[dict[str, str]]:
    return [r for r in live.runs(f"{PIPELINE}-train") if r["state"] in DONE]


def _trained(live: LiveAirflow, count: int) -> bool:
    runs = [r for section in ("data", "score", "monitor", "train") for r in live.runs(f"{PIPELINE}-{section}")]
    return len(_trainings(live)) >= count and all(r["state"] in DONE for r in runs)


def _verify(live: LiveAirflow, batches: int, found: Found) -> None:
    asked = [d.id for d in DecisionLedger(live.lake, PIPELINE).decisions() if d.decision == "retrain"]
    found.check(len(asked) == batches, f"{batches} batches, decisions to train {asked}")
    runs = {r["dag_run_id"]: r["state"] for r in live.runs(f"{PIPELINE}-train")}
    found.check(runs == dict.fromkeys(asked, "success"), f"decided {asked}, trained {runs}")
    promoted = [p.version for p in PromotionLedger(live.lake, PIPELINE).history()]
    found.check(len(promoted) == len(set(promoted)) == batches, f"{batches} trainings, promoted {promoted}")
    client = mlflow.MlflowClient(live.services.url("mlflow"))
    versions = [v.version for v in client.search_model_versions(f"name = '{PIPELINE}'")]
    found.check(len(versions) == batches, f"{batches} trainings, versions {versions}")

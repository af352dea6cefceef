"""Steps in pods, a third of which meets a fault of the cluster, its API or Airflow's own processes."""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.chaos.result import Found

if TYPE_CHECKING:
    from airflow_mlops_provider.testing.cluster import Cluster
    from tests.pod_driver import PodTask

__all__ = ["run"]

PODS_PER_N = 10
_HARMED = 0.3
_AT_ONCE = 4
_SOURCE = """
import time

import pyarrow


def rows(batch):
    time.sleep(1.0)
    return pyarrow.table({"id": [1, 2, 3]})
"""


def run(n: int, home: Path, draw: random.Random) -> Found:
    """Run 10 n steps; each has to end once, with one result, its rows once, and nothing left behind."""
    _before_airflow(home)
    from airflow_mlops_provider.testing.cluster import Cluster

    found = Found("a step in a pod ends once, whatever becomes of its pods", n=n * PODS_PER_N)
    # Drawn before anything runs: what the threads do next to each other is not repeatable, what they meet is.
    plans = [(f"chaos-{i}", _fault(draw)) for i in range(found.n)]
    with Cluster({"steps": sys.executable}, claims={"home": home}, backoff_s=0.3) as cluster:
        os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = cluster.airflow_connection()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tasks = list(pool.map(lambda plan: _ended(cluster, home, *plan), plans))
        found.kills = sum(fault is not None for _, fault in plans)
        for (name, fault), task in zip(plans, tasks, strict=True):
            _check(found, home, f"{name} ({fault})", name, task)
        found.check(_left(cluster) == [], f"left behind: {_left(cluster)}")
    return found


def _before_airflow(home: Path) -> None:
    os.environ |= {
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
        "AIRFLOW_CONN_LAKE_DEFAULT": json.dumps({"conn_type": "mlops_lake", "login": "me", "password": "planted"}),
    }
    (home / "bundle").mkdir()
    (home / "bundle" / "source.py").write_text(_SOURCE)


def _fault(draw: random.Random) -> tuple[str, float] | None:
    """Return what a task meets and when, if anything."""
    if draw.random() >= _HARMED:
        return None
    return draw.choice(sorted(_FAULTS)), round(draw.uniform(0, 2.5), 2)


def _ended(cluster: Cluster, home: Path, name: str, fault: tuple[str, float] | None) -> PodTask:
    from airflow_mlops_provider.triggers import kubernetes
    from tests.pod_driver import BATCH, PodTask

    kubernetes._EARLIEST_S = 0.0  # no supervisor here that could notice a deferral late
    spec = {"lake": f"{home}/lake", "batch": BATCH, "datasets": {_table(name): {"python_callable": "source.rows"}}}
    volumes = {"home": {"claim": "home", "mount_path": str(home)}}
    pod = {"image": "steps", "bundle": f"{home}/bundle", "volumes": volumes, "grace": 1}
    arguments = {"step": "ingest", "spec": spec, "pod": pod, "name": name, "startup_timeout_seconds": 5}
    task = PodTask(name, {**arguments, "deferrable": int(name.rpartition("-")[2]) % 2 == 0}, retries=2)
    if fault is not None:
        _FAULTS[fault[0]](cluster, task, fault[1])
    task.run()
    return task


def _table(name: str) -> str:
    return name.replace("-", "_")


# -- faults: each takes the cluster, the task and the second at which it comes ------------------------------------


def _scripted(make: Callable[[float], Any]) -> Callable[[Cluster, PodTask, float], None]:
    def harm(cluster: Cluster, task: PodTask, at: float) -> None:
        cluster.script(itertools.chain([make(at)], itertools.repeat(None)), f"dag_id={task.dag_id}")

    return harm


def _worker_dies(cluster: Cluster, task: PodTask, at: float) -> None:
    """The first worker is killed as its pod has been made; the next one comes some time later."""
    from tests.pod_driver import Killed

    def die(*_args: Any, **_kwargs: Any) -> None:
        time.sleep(at)
        raise Killed

    def meets(operator: Any) -> None:
        if task.tries == 1:
            operator.invoke_defer_method = operator.await_pod_start = die

    task.meets = meets


def _deleted(cluster: Cluster, task: PodTask, at: float) -> None:
    """Somebody deletes whatever pod the task has at that moment."""
    path = f"{cluster.url}/api/v1/namespaces/default/pods"
    selector = {"labelSelector": f"dag_id={task.dag_id}"}
    threading.Timer(1 + at, lambda: httpx.delete(path, params=selector)).start()


def _api_away(cluster: Cluster, task: PodTask, at: float) -> None:
    threading.Timer(at, cluster.away, (2.0,)).start()


def _api_busy(cluster: Cluster, task: PodTask, at: float) -> None:
    threading.Timer(at, cluster.throttle, (5,)).start()


def _api_forgets(cluster: Cluster, task: PodTask, at: float) -> None:
    threading.Timer(at, cluster.compact).start()


def _faults() -> dict[str, Callable[[Cluster, PodTask, float], None]]:
    from airflow_mlops_provider.testing.cluster import Evict, ImagePull, NodeLost, Preempt, Unschedulable

    return {
        "evicted": _scripted(lambda at: Evict(after_s=at)),
        "preempted": _scripted(lambda at: Preempt(after_s=at)),
        "node lost": _scripted(lambda at: NodeLost(after_s=at)),
        "registry away": _scripted(lambda at: ImagePull(for_s=at)),
        "unschedulable": _scripted(lambda at: Unschedulable(for_s=at)),
        "worker killed": _worker_dies,
        "deleted by hand": _deleted,
        "API away": _api_away,
        "API busy": _api_busy,
        "API forgets": _api_forgets,
    }


_FAULTS = _faults()


# -- what has to hold -----------------------------------------------------------------------------------------------


def _check(found: Found, home: Path, what: str, name: str, task: PodTask) -> None:
    from airflow_mlops_provider.steps.lake import Lake

    found.check(task.error is None or "return_value" in task.pushed, f"{what} failed: {task.error}")
    found.check(task.told.count("return_value") == 1, f"{what} pushed its result {task.told.count('return_value')} x")
    outcomes = [json.loads(path.read_text()) for path in (home / "lake" / "_outcomes").glob(f"{name}-????????.json")]
    done = [outcome for outcome in outcomes if outcome["status"] == "succeeded"]
    found.check(len(done) == 1, f"{what} has {len(done)} outcomes: {outcomes}")
    rows = Lake(f"{home}/lake").read(_table(name)).num_rows
    found.check(rows == 3, f"{what} has {rows} rows, not 3")


def _left(cluster: Cluster) -> list[str]:
    """Return the pods and Secrets that are there once what is being deleted is gone."""
    names: list[str] = []
    for _ in range(100):
        kinds = (httpx.get(f"{cluster.url}/api/v1/namespaces/default/{kind}").json() for kind in ("pods", "secrets"))
        names = [item["metadata"]["name"] for kind in kinds for item in kind["items"]]
        if not names:
            break
        time.sleep(0.1)
    return names

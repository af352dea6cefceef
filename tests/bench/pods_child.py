"""`python -m tests.bench.pods_child '[folder, n]'`: wall seconds of pods under our operator and under Airflow's own."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["main", "ours"]

# A pod's program that costs nothing: whatever is measured around it is the operator's.
_PROGRAM = """#!{python} -S
import time
time.sleep(1)
with open("/dev/termination-log", "w") as log:
    log.write({told!r})
"""
_OUTCOME = {"type": "outcome", "status": "succeeded", "result": {"batch": "b1", "datasets": {}}}
_PACE = {"poll_interval": 0.5, "startup_check_interval_seconds": 1}


def main() -> None:
    home, n = json.loads(sys.argv[1])
    folder = Path(home)
    with contextlib.redirect_stdout(sys.stderr):
        found = _measured(folder, n)
    print(json.dumps(found), flush=True)
    os._exit(0)


def _measured(home: Path, n: int) -> dict[str, dict[str, list[float]]]:
    from airflow_mlops_provider.testing.cluster import Cluster, Image
    from airflow_mlops_provider.triggers import kubernetes

    # Before the event that is measured from.
    kubernetes._EARLIEST_S = 0.0
    program = home / "bin" / "python"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(python=sys.executable, told=json.dumps({"path": None, "outcome": _OUTCOME})))
    program.chmod(0o755)
    sides = {"ours": ours, "floor": _floor}
    found: dict[str, dict[str, list[float]]] = {part: {side: [] for side in sides} for part in ("step", "end")}
    with Cluster({"steps": Image(path=(str(program.parent),))}, claims={"home": home}) as cluster:
        os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = cluster.airflow_connection()
        for turn in range(n + 1):
            for side, make in sides.items():
                began = time.monotonic()
                _run(make(home, f"{side}-{turn}", deferrable=False))
                found["step"][side].append(time.monotonic() - began)
                task = _run(make(home, f"{side}-late-{turn}", deferrable=True))
                found["end"][side].append(time.monotonic() - task.woken)
    # The first one pays for imports.
    return {part: {side: times[1:] for side, times in of.items()} for part, of in found.items()}


def ours(home: Path, name: str, *, deferrable: bool) -> Any:
    """Return a task of KubernetesStepOperator."""
    from tests.pod_driver import BATCH, PodTask

    spec = {"lake": f"{home}/lake", "batch": BATCH, "datasets": {"rows": {"files": "rows.csv"}}}
    pod = {"image": "steps", "volumes": {"home": {"claim": "home", "mount_path": str(home)}}}
    arguments = {"step": "ingest", "spec": spec, "pod": pod, "deferrable": deferrable}
    return PodTask(name, arguments | _PACE)


def _floor(home: Path, name: str, *, deferrable: bool) -> Any:
    """Return a task of KubernetesPodOperator whose pod is the one that our operator makes."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    from tests.pod_driver import PodTask

    task = ours(home, name, deferrable=deferrable)
    operator = task.operator()
    pod = operator.build_pod_request_obj(task.context(operator))
    pod.metadata.name = None
    return PodTask(name, {"full_pod_spec": pod, "deferrable": deferrable} | _PACE, kind=KubernetesPodOperator)


def _run(task: Any) -> Any:
    if not task.run():
        raise RuntimeError(f"{task.dag_id} failed: {task.error!r}")
    return task


if __name__ == "__main__":
    main()

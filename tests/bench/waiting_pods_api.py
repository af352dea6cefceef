"""`python -m tests.bench.waiting_pods_api FOLDER PODS PHASE`: an API with pods that run, or wait for a node.

It prints the connection when they do. Each number read is how many of the running ones shall end, one after the other;
it then prints when each did.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["main", "name_of"]

_PACE_S = 0.1


def name_of(number: int) -> str:
    """Return the name of a pod."""
    return f"waiting-{number}"


def main() -> None:
    import httpx

    from airflow_mlops_provider.testing.cluster import Cluster, Unschedulable

    home, pods, phase = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with Cluster({"steps": sys.executable}, claims={"home": home}) as cluster:
        if phase == "Pending":
            cluster.script(itertools.repeat(Unschedulable()))
        with contextlib.redirect_stdout(sys.stderr):
            body = _manifest(home, cluster.airflow_connection())
            with httpx.Client(base_url=cluster.url) as client:
                for number in range(pods):
                    os.mkfifo(home / name_of(number))
                    made = client.post("/api/v1/namespaces/default/pods", json=_numbered(body, home, number))
                    made.raise_for_status()
            while any(pod["status"]["phase"] != phase for pod in cluster.pods()):
                time.sleep(0.2)
        print(cluster.airflow_connection(), flush=True)
        for line in sys.stdin:
            print(json.dumps([_ended(home / name_of(number)) for number in range(int(line))]), flush=True)


def _ended(pipe: Path) -> float:
    time.sleep(_PACE_S)
    pipe.write_text("\n")
    return time.time()


def _manifest(home: Path, connection: str) -> dict[str, Any]:
    """Return the pod that KubernetesStepOperator makes."""
    from kubernetes import client

    from tests.bench.pods_child import ours

    os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"] = connection
    task = ours(home, "waiting", deferrable=True)
    operator = task.operator()
    pod = operator.build_pod_request_obj(task.context(operator))
    body: dict[str, Any] = client.ApiClient().sanitize_for_serialization(pod)
    return body


def _numbered(body: dict[str, Any], home: Path, number: int) -> dict[str, Any]:
    name = name_of(number)
    (container,) = body["spec"]["containers"]
    command = ["sh", "-c", f"echo it runs; read _ < {home}/{name}"]
    spec = {**body["spec"], "containers": [container | {"command": command, "args": []}]}
    return body | {"metadata": body["metadata"] | {"name": name}, "spec": spec}


if __name__ == "__main__":
    main()

"""How a task's pod ended, or the job that it is the first pod of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kubernetes import client as k8s

from airflow_mlops_provider.hooks.kubernetes import job_of
from airflow_mlops_provider.hooks.kubernetes_job import settled

if TYPE_CHECKING:
    from airflow_mlops_provider.runners.ending import End

__all__ = ["end_seen"]

# So long the other workers may take once the first one is over.
_OTHERS_S = 300.0
_TAIL_LINES = 50
_log = logging.getLogger(__name__)


def end_seen(
    client: k8s.CoreV1Api, mine: k8s.V1Pod | None, seen: k8s.V1Pod | None, workers: int, container: str
) -> tuple[str, End]:
    """Return the pod's end, and by what name its outcome is kept; of a job, those of the worker that decides.

    `seen` is the pod as it was when the waiting for it was over; None: it was gone.
    """
    from airflow_mlops_provider.runners.ending import End, end_of

    job = job_of(mine) if mine is not None else None
    if mine is not None and job is not None:
        return _end_of_job(client, job, mine.metadata.namespace, seen, workers, container)
    name = str(mine and mine.metadata.name)
    return name, End("node_lost", "the pod is gone") if seen is None else end_of(_json(client, seen), container)


def _end_of_job(
    client: k8s.CoreV1Api, job: str, namespace: str, seen: k8s.V1Pod | None, workers: int, container: str
) -> tuple[str, End]:
    from airflow_mlops_provider.runners.pod_workers import end_of_workers, worker_name

    # A first worker that is not over means that time is up for all.
    waits = seen is None or seen.status.phase in ("Succeeded", "Failed")
    pods = settled(client, job, namespace, _OTHERS_S if waits else 0.0)
    rank, end = end_of_workers({n: _json(client, pod) for n, pod in pods.items()}, workers, container)
    if rank and rank in pods:
        _show_tail(client, pods[rank], rank, container)
    return worker_name(job, rank), end


def _show_tail(client: k8s.CoreV1Api, pod: k8s.V1Pod, rank: int, container: str) -> None:
    """Show the end of the log of a worker that decided: the task's log is the first one's."""
    try:
        said = client.read_namespaced_pod_log(
            pod.metadata.name, pod.metadata.namespace, container=container, tail_lines=_TAIL_LINES
        )
    except k8s.ApiException as exc:
        _log.warning("worker %d: its log could not be read: %s %s", rank, exc.status, exc.reason)
        return
    for line in said.splitlines():
        _log.info("[worker %d] %s", rank, line)


def _json(client: k8s.CoreV1Api, pod: k8s.V1Pod) -> Mapping[str, Any]:
    found: Mapping[str, Any] = client.api_client.sanitize_for_serialization(pod)
    return found

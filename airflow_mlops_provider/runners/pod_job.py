"""From the pod of a step to the job whose pods run it together, and the service by which they find each other."""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.contracts.pod import Pod
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["INDEX", "JOB", "check_together", "job_manifest", "job_name", "service_manifest"]

# Kubernetes' own names on each pod of an indexed job.
JOB = "batch.kubernetes.io/job-name"
INDEX = "batch.kubernetes.io/job-completion-index"

# A job that nobody waits for any more leaves the cluster so long after its end.
_KEPT_S = 7 * 24 * 3600
_NAME_LENGTH = 50


def check_together(pod: Pod, request: Request) -> None:
    """Raise ConfigError where several workers would only do the same work several times."""
    if pod.workers == 1:
        return
    if request.step != "train":
        raise ConfigError(f"workers: {pod.workers}: only `train` runs in several pods, not {request.step!r}")
    if not request.spec.get("python_callable"):
        raise ConfigError(f"workers: {pod.workers}: needs a `python_callable` whose workers share the fit")
    if request.spec.get("search"):
        raise ConfigError(f"workers: {pod.workers}: `search` runs in one pod; give one of the two")


def job_name(name: str) -> str:
    """Return a pod's name as one that a job, its service and its pods' host names can have; its end stays."""
    plain = re.sub(r"[^a-z0-9-]", "-", name)[-_NAME_LENGTH:].lstrip("-")
    return plain if plain[0].isalpha() else f"j-{plain}"


def job_manifest(pod: Mapping[str, Any], workers: int, container: str) -> dict[str, Any]:
    """Return the indexed job of so many of this pod, whose `container` gets torchrun's environment.

    One pod that fails fails all of them: none is started again alone, where the others would wait for it in vain.
    """
    meta, spec = pod["metadata"], copy.deepcopy(dict(pod["spec"]))
    name = meta["name"]
    found = next(one for one in spec["containers"] if one["name"] == container)
    found["env"] = [*(found.get("env") or ()), *_environment(name, workers)]
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != JOB}
    common = {"labels": labels, "annotations": dict(meta.get("annotations") or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **_namespace(meta), **common},
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": _KEPT_S,
            "template": {"metadata": copy.deepcopy(common), "spec": {**spec, "subdomain": name}},
        },
    }


def service_manifest(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headless service that gives the pods of a job their host names, `JOB-INDEX.JOB`."""
    meta = pod["metadata"]
    name = meta["name"]
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != JOB}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, **_namespace(meta), "labels": labels},
        # A worker looks for the first one before that is ready.
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {JOB: name}},
    }


def _environment(name: str, workers: int) -> list[dict[str, Any]]:
    """Return torchrun's variables: one process a pod, so the rank in the pod is 0."""
    said = {
        "MASTER_ADDR": f"{name}-0.{name}",
        "MASTER_PORT": str(_port(name)),
        "WORLD_SIZE": str(workers),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
    }
    rank = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    return [*({"name": key, "value": value} for key, value in said.items()), {"name": "RANK", "valueFrom": rank}]


def _port(name: str) -> int:
    """Return a port of the job's own: pods in their node's network share its ports with other jobs."""
    return 20_000 + zlib.crc32(name.encode()) % 10_000


def _namespace(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"namespace": meta["namespace"]} if meta.get("namespace") else {}

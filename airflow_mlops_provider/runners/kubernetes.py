"""From a typed pod spec to Kubernetes' manifest. Plain data in, plain data out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mlops_provider.contracts.pod import GpuClass, Pod, Volume
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners.usage import price_of

__all__ = ["CHANGES", "CONNECTIONS", "CONTAINER", "avoiding", "label", "manifest"]

# The annotation that says what earlier pods of this try taught: plain JSON, on the pod so that no crash loses it.
CHANGES = "mlops.changes"
CONTAINER = "base"  # KubernetesPodOperator's name of the container that counts
CONNECTIONS = "connections.json"
_RUN = "/run/mlops"
_WORKER = ["python", "-m", "airflow_mlops_provider.runners.pod"]
_USER = 50000


def manifest(
    pod: Pod,
    request: Request,
    *,
    name: str,
    labels: Mapping[str, str] | None = None,
    gpu_classes: Mapping[str, GpuClass] | None = None,
    secret: str | None = None,
    code: Mapping[str, str] | None = None,
    unpaid: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the pod that answers `request`; it meets Kubernetes' restricted Pod Security Standard.

    The request travels in the environment without its connections; these are in the Secret named `secret`,
    which is mounted as a file. `code` says where in the lake the bundle's zip is, `unpaid` what pods before this
    one used and could not record. Raises ConfigError for a GPU class that nobody defined.
    """
    gpu = _gpu_class(pod, gpu_classes or {})
    volumes = _volumes(pod, secret)
    price = price_of(pod, gpu_classes or {})
    given = {"MLOPS_CODE": code, "MLOPS_PRICE": price, "MLOPS_UNPAID": unpaid}
    told = {name: json.dumps(value) for name, value in given.items() if value}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": pod.grace,
        "automountServiceAccountToken": pod.service_account is not None,
        "serviceAccountName": pod.service_account,
        "priorityClassName": pod.priority_class,
        "nodeSelector": {**(gpu.node_selector if gpu else {}), **pod.node_selector},
        "tolerations": [*(gpu.tolerations if gpu else ()), *pod.tolerations],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(pod, gpu, request, name, {path: volume for path, volume, _ in volumes}, told)],
        "volumes": [source for _, _, source in volumes],
    }
    metadata = {
        "name": name,
        "namespace": pod.namespace,
        "labels": {**pod.labels, **(labels or {}), "mlops.run-key": label(request.run_key), "mlops.step": request.step},
        "annotations": {**pod.annotations, "mlops.run-key": request.run_key},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _said(metadata), "spec": _said(spec)}


def label(text: str) -> str:
    """Return `text` as a label's value; one that would not fit, or not be whole, ends in its hash."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", text).strip("-_.")
    if plain == text and len(plain) <= 63:
        return plain
    return f"{plain[:50]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}".lstrip("-_.")


def avoiding(affinity: Mapping[str, Any] | None, nodes: Sequence[str]) -> dict[str, Any]:
    """Return a pod's affinity with these nodes ruled out by their names, whatever else it asks for."""
    found = dict(affinity or {})
    of_nodes = dict(found.get("nodeAffinity") or {})
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    # A field selector takes one value. Of the terms one has to hold: each must rule the nodes out.
    ruled_out = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    terms = (of_nodes.get(required) or {}).get("nodeSelectorTerms") or [{}]
    closed = [{**term, "matchFields": [*(term.get("matchFields") or ()), *ruled_out]} for term in terms]
    return {**found, "nodeAffinity": {**of_nodes, required: {"nodeSelectorTerms": closed}}}


def _container(
    pod: Pod,
    gpu: GpuClass | None,
    request: Request,
    name: str,
    mounts: Mapping[str, dict[str, Any]],
    told: Mapping[str, str],
) -> dict[str, Any]:
    bare = Request(request.step, request.spec, request.run_key, trace_parent=request.trace_parent)
    environment = {"MLOPS_REQUEST": bare.encode(), "MLOPS_POD": name, "HOME": "/tmp", "TMPDIR": "/tmp"}  # noqa: S108  # a volume of the pod's own
    if f"{_RUN}/secret" in mounts:
        environment["MLOPS_CONNECTIONS"] = f"{_RUN}/secret/{CONNECTIONS}"
    environment |= told
    return _said(
        {
            "name": CONTAINER,
            "image": pod.image,
            "command": _WORKER,
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "envFrom": [{"secretRef": {"name": found}} for found in pod.secrets],
            "resources": _resources(pod, gpu),
            "volumeMounts": [{"mountPath": path, **mount} for path, mount in mounts.items()],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "terminationMessagePolicy": "File",
        }
    )


def _resources(pod: Pod, gpu: GpuClass | None) -> dict[str, Any]:
    """Return requests, and equal limits for memory and devices: a node that is short of either kills the pod."""
    asked = {"cpu": pod.cpu, "memory": pod.memory, "ephemeral-storage": pod.ephemeral_storage}
    requests = {key: value for key, value in asked.items() if value}
    limits = {key: value for key, value in requests.items() if key != "cpu"}
    if gpu is not None:
        requests[gpu.resource] = limits[gpu.resource] = str(pod.gpus)
    own = pod.resources or {}
    return _said(
        {"requests": requests | dict(own.get("requests") or {}), "limits": limits | dict(own.get("limits") or {})}
    )


def _volumes(pod: Pod, secret: str | None) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return path, mount and source of each volume; /tmp is the one place that can be written."""
    found = [(v.mount_path, _said({"name": n, "readOnly": v.read_only}), _source(n, v)) for n, v in pod.volumes.items()]
    if not any(volume.mount_path == "/tmp" for volume in pod.volumes.values()):  # noqa: S108
        found.append(("/tmp", {"name": "mlops-tmp"}, {"name": "mlops-tmp", "emptyDir": {}}))  # noqa: S108
    if pod.shm:
        memory = {"medium": "Memory", "sizeLimit": pod.shm}
        found.append(("/dev/shm", {"name": "mlops-shm"}, {"name": "mlops-shm", "emptyDir": memory}))  # noqa: S108
    if secret:
        source = {"name": "mlops-secret", "secret": {"secretName": secret, "defaultMode": 0o440}}
        found.append((f"{_RUN}/secret", {"name": "mlops-secret", "readOnly": True}, source))
    return found


def _source(name: str, volume: Volume) -> dict[str, Any]:
    if volume.claim:
        return {"name": name, "persistentVolumeClaim": {"claimName": volume.claim}}
    if volume.secret:
        return {"name": name, "secret": {"secretName": volume.secret}}
    if volume.config_map:
        return {"name": name, "configMap": {"name": volume.config_map}}
    return {"name": name, "emptyDir": {"sizeLimit": volume.empty_dir}}


def _gpu_class(pod: Pod, classes: Mapping[str, GpuClass]) -> GpuClass | None:
    if pod.gpu is None:
        return None
    if pod.gpu not in classes:
        known = ", ".join(sorted(classes)) or "none"
        raise ConfigError(f"gpu class {pod.gpu!r} is not in [mlops] gpu_classes; known: {known}")
    return classes[pod.gpu]


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields without those that say nothing."""
    return {key: value for key, value in fields.items() if value is not None and value not in ({}, [], ())}

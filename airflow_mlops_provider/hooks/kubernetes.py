"""Kubernetes' API as a step's pod needs it: asked with patience, a pod made once, a Secret that the pod owns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException
from urllib3.util import Retry

from airflow_mlops_provider.runners.kubernetes import CONNECTIONS

__all__ = ["fault_of", "make_pod", "make_secret", "patient", "pod_now"]

_BUSY = (429, 500, 502, 503, 504)
# What the same pod would meet again: it is no pod, or its namespace is not there.
_FINAL = (400, 404, 422)
_CONFLICT, _GONE = 409, 404


def patient(client: k8s.CoreV1Api) -> k8s.CoreV1Api:
    """Let every call outlast an API that is away, busy or restarts, for about a minute."""
    # Every method: what was made although the answer got lost is found again by its name.
    retry = Retry(
        total=8, backoff_factor=1, backoff_max=15, status_forcelist=_BUSY, allowed_methods=None, raise_on_status=False
    )
    client.api_client.rest_client.pool_manager.connection_pool_kw["retries"] = retry
    return client


def pod_now(client: k8s.CoreV1Api, name: str, namespace: str) -> k8s.V1Pod | None:
    """Return the pod as it is now, or None where none is."""
    try:
        return client.read_namespaced_pod(name, namespace)
    except ApiException as exc:
        if exc.status != _GONE:
            raise
        return None


def make_pod(client: k8s.CoreV1Api, pod: k8s.V1Pod) -> k8s.V1Pod:
    """Make the pod, or return the one that a call whose answer got lost has made.

    Raises AirflowFailException with the API's words for a pod that it will never take, else AirflowException.
    """
    try:
        return _made(client, pod)
    except ApiException as exc:
        kind = AirflowFailException if exc.status in _FINAL else AirflowException
        raise kind(f"the pod was not made: {fault_of(exc)}") from exc


@generic_api_retry  # type: ignore[untyped-decorator]
def _made(client: k8s.CoreV1Api, pod: k8s.V1Pod) -> k8s.V1Pod:
    try:
        return client.create_namespaced_pod(pod.metadata.namespace, pod)
    except ApiException as exc:
        found = pod_now(client, pod.metadata.name, pod.metadata.namespace) if exc.status == _CONFLICT else None
        if found is None:
            raise
        return found


def make_secret(client: k8s.CoreV1Api, pod: k8s.V1Pod, connections: Mapping[str, Any]) -> None:
    """Put the connections into the Secret that the pod waits for, owned by the pod: it goes with it.

    One that is there already stays. Raises AirflowException, and the pod is deleted, where it cannot be made.
    """
    if not connections:
        return
    owner = k8s.V1OwnerReference(api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid)
    meta = k8s.V1ObjectMeta(name=pod.metadata.name, labels=pod.metadata.labels, owner_references=[owner])
    secret = k8s.V1Secret(metadata=meta, string_data={CONNECTIONS: json.dumps(connections)}, type="Opaque")
    try:
        client.create_namespaced_secret(pod.metadata.namespace, secret)
    except ApiException as exc:
        if exc.status == _CONFLICT:
            return
        # It would wait for ever.
        client.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0)
        raise AirflowException(f"the pod's Secret was not made: {fault_of(exc)}") from exc


def fault_of(exc: ApiException) -> str:
    """Return the API's own words, in one line."""
    try:
        said = json.loads(exc.body or "")["message"]
    except (ValueError, TypeError, KeyError):
        said = ""
    return f"{exc.status} {exc.reason}" + (f": {said}" if said else "")

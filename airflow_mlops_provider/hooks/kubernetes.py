"""Kubernetes' API as a step's pod needs it: asked with patience, a pod made once, a Secret that the pod owns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import generic_api_retry
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException
from urllib3.util import Retry

from airflow_mlops_provider.runners.kubernetes import CONNECTIONS
from airflow_mlops_provider.runners.pod_job import JOB

__all__ = ["fault_of", "job_of", "made", "make_pod", "make_secret", "owner_of", "patient", "pod_now", "remove"]

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
    name, namespace = pod.metadata.name, pod.metadata.namespace
    return made("pod", lambda: client.create_namespaced_pod(namespace, pod), lambda: pod_now(client, name, namespace))


def made(what: str, create: Callable[[], Any], now: Callable[[], Any]) -> Any:  # one of the client's untyped objects
    """Return what `create` makes, or what `now` finds where the name is taken. Raises as `make_pod`."""
    try:
        return _made(create, now)
    except ApiException as exc:
        kind = AirflowFailException if exc.status in _FINAL else AirflowException
        raise kind(f"the {what} was not made: {fault_of(exc)}") from exc


@generic_api_retry  # type: ignore[untyped-decorator]
def _made(create: Callable[[], Any], now: Callable[[], Any]) -> Any:  # as above
    try:
        return create()
    except ApiException as exc:
        found = now() if exc.status == _CONFLICT else None
        if found is None:
            raise
        return found


def make_secret(client: k8s.CoreV1Api, pod: k8s.V1Pod, connections: Mapping[str, Any]) -> None:
    """Put the connections into the Secret that the pod waits for, owned by the pod or its job: it goes with it.

    One that is there already stays. Raises AirflowException, and the pod or job is deleted, where it cannot be made.
    """
    if not connections:
        return
    owner = owner_of(pod)
    meta = k8s.V1ObjectMeta(name=owner.name, labels=pod.metadata.labels, owner_references=[owner])
    secret = k8s.V1Secret(metadata=meta, string_data={CONNECTIONS: json.dumps(connections)}, type="Opaque")
    try:
        client.create_namespaced_secret(pod.metadata.namespace, secret)
    except ApiException as exc:
        if exc.status == _CONFLICT:
            return
        # It would wait for ever.
        remove(client, pod, grace_period_seconds=0)
        raise AirflowException(f"the pod's Secret was not made: {fault_of(exc)}") from exc


def owner_of(pod: k8s.V1Pod) -> k8s.V1OwnerReference:
    """Return the reference of what belongs to a pod: to its job where it is of one."""
    if job_of(pod):
        # Not the controller's own reference: to block the job's deletion needs a right of its own on some clusters.
        (job,) = pod.metadata.owner_references
        return k8s.V1OwnerReference(api_version=job.api_version, kind=job.kind, name=job.name, uid=job.uid)
    return k8s.V1OwnerReference(api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid)


def job_of(pod: k8s.V1Pod) -> str | None:
    """Return the name of the job that the pod is of, or is to be of; None for a pod of its own."""
    return (pod.metadata.labels or {}).get(JOB)


def remove(client: k8s.CoreV1Api, pod: k8s.V1Pod, **options: Any) -> None:
    """Delete the pod, or its job with all that this owns; one that is gone already is as good."""
    job, namespace = job_of(pod), pod.metadata.namespace
    try:
        if job is None:
            client.delete_namespaced_pod(pod.metadata.name, namespace, **options)
        else:
            batch = k8s.BatchV1Api(client.api_client)
            batch.delete_namespaced_job(job, namespace, propagation_policy="Background")
    except ApiException as exc:
        if exc.status != _GONE:
            raise


def fault_of(exc: ApiException) -> str:
    """Return the API's own words, in one line."""
    try:
        said = json.loads(exc.body or "")["message"]
    except (ValueError, TypeError, KeyError):
        said = ""
    return f"{exc.status} {exc.reason}" + (f": {said}" if said else "")

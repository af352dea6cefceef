"""The job of a step's workers in Kubernetes' API: made with its service, waited for, read."""

from __future__ import annotations

import time
from typing import Any

from airflow.sdk.exceptions import AirflowException
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from airflow_mlops_provider.hooks.kubernetes import job_of, made, owner_of, remove
from airflow_mlops_provider.runners.pod_job import INDEX, JOB, job_manifest, service_manifest

__all__ = ["held_by", "is_first", "job_now", "make_job", "make_service", "settled", "workers_now"]

_GONE = 404
_PERIOD_S = 0.5
# So soon the controller makes pods, unless it is told not to: by a quota, or the namespace's security standard.
_MADE_WITHIN_S = 60.0


def make_job(client: k8s.CoreV1Api, pod: k8s.V1Pod, workers: int, container: str) -> k8s.V1Pod:
    """Make the job of so many of this pod; return the pod of its first worker.

    Raises as `make_pod`, and AirflowException where no pod comes of the job, which is then deleted.
    """
    batch = k8s.BatchV1Api(client.api_client)
    name, namespace = pod.metadata.name, pod.metadata.namespace
    body = job_manifest(client.api_client.sanitize_for_serialization(pod), workers, container)
    made("job", lambda: batch.create_namespaced_job(namespace, body), lambda: job_now(client, name, namespace))
    until = time.monotonic() + _MADE_WITHIN_S
    while time.monotonic() < until:
        first = workers_now(client, name, namespace).get(0)
        if first is not None:
            return first
        time.sleep(_PERIOD_S)
    said = _last_words(client, name, namespace)
    remove(client, pod)
    raise AirflowException(f"the job has no pods after {_MADE_WITHIN_S:.0f} s: {said}")


def make_service(client: k8s.CoreV1Api, pod: k8s.V1Pod) -> None:
    """Make the service by which the workers of the pod's job find each other, owned by the job.

    Raises as `make_pod`, and the job is deleted, where it cannot be made.
    """
    owner = owner_of(pod)
    namespace = pod.metadata.namespace
    body = service_manifest({"metadata": {"name": owner.name, "namespace": namespace, "labels": pod.metadata.labels}})
    body["metadata"]["ownerReferences"] = [client.api_client.sanitize_for_serialization(owner)]
    try:
        made("service", lambda: client.create_namespaced_service(namespace, body), lambda: owner)
    except AirflowException:
        remove(client, pod)
        raise


def job_now(client: k8s.CoreV1Api, name: str, namespace: str) -> k8s.V1Job | None:
    """Return the job as it is now, or None where none is."""
    try:
        return k8s.BatchV1Api(client.api_client).read_namespaced_job(name, namespace)
    except ApiException as exc:
        if exc.status != _GONE:
            raise
        return None


def workers_now(client: k8s.CoreV1Api, job: str, namespace: str) -> dict[int, k8s.V1Pod]:
    """Return the job's pods that are there, by their workers' numbers."""
    pods = client.list_namespaced_pod(namespace, label_selector=f"{JOB}={job}").items
    return {int(pod.metadata.annotations[INDEX]): pod for pod in pods}


def settled(client: k8s.CoreV1Api, job: str, namespace: str, within_s: float) -> dict[int, k8s.V1Pod]:
    """Return the job's pods once it is clear how it ends, or as they are after so many seconds."""
    until = time.monotonic() + within_s
    while True:
        held = held_by(job_now(client, job, namespace))
        pods = workers_now(client, job, namespace)
        # One that is being deleted adds nothing, and on a lost node takes minutes.
        left = [pod for pod in pods.values() if not _over(pod) and pod.metadata.deletion_timestamp is None]
        if held & {"Complete", "Failed", "Gone"} or ("FailureTarget" in held and not left) or time.monotonic() > until:
            return pods
        time.sleep(_PERIOD_S)


def held_by(job: k8s.V1Job | None) -> set[str]:
    """Return the conditions that a job meets; `Gone` for one that is no longer there."""
    if job is None:
        return {"Gone"}
    return {one.type for one in job.status.conditions or () if one.status == "True"}


def is_first(pod: k8s.V1Pod) -> bool:
    """Tell whether it is the pod that a task waits for: the first worker's, or one of no job."""
    return job_of(pod) is None or (pod.metadata.annotations or {}).get(INDEX) == "0"


def _over(pod: k8s.V1Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def _last_words(client: k8s.CoreV1Api, job: str, namespace: str) -> Any:  # of an untyped event
    events = client.list_namespaced_event(namespace, field_selector=f"involvedObject.name={job}").items
    said = [event.message for event in events if event.type == "Warning"]
    return said[-1] if said else "the API does not say why"

"""The typed pod of a task: checked, with the classes it may name, and laid over what KubernetesPodOperator builds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.sdk.exceptions import AirflowFailException
from kubernetes import client as k8s

if TYPE_CHECKING:
    from airflow_mlops_provider.contracts.pod import GpuClass, Pod
    from airflow_mlops_provider.contracts.protocol import Request

__all__ = ["checked_pod", "known_classes", "laid_over", "named"]


def checked_pod(task_id: str, fields: Mapping[str, Any]) -> Pod:
    """Return the pod. Raises AirflowFailException that names every wrong field."""
    from pydantic import ValidationError

    from airflow_mlops_provider.contracts.pod import Pod

    try:
        return Pod.model_validate(fields)
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise AirflowFailException(f"{task_id}: pod: {faults}") from None


def known_classes(given: Mapping[str, Any] | None) -> dict[str, GpuClass]:
    """Return the GPU classes by name: those given, else those of `[mlops] gpu_classes`."""
    from airflow.sdk import conf

    from airflow_mlops_provider.contracts.pod import GpuClass

    if given is None:
        given = json.loads(conf.get("mlops", "gpu_classes", fallback="") or "{}")
    return {name: GpuClass.model_validate(found) for name, found in given.items()}


def named(base: k8s.V1Pod, pod: Pod, request: Request) -> k8s.V1Pod:
    """Return `base` under the name and label of the job of several workers; as it is where there is one.

    Raises ConfigError for a request that several workers cannot share.
    """
    from airflow_mlops_provider.runners.pod_job import JOB, check_together, job_name

    check_together(pod, request)
    if pod.workers > 1:
        base.metadata.name = job_name(base.metadata.name)
        base.metadata.labels[JOB] = base.metadata.name
    return base


def laid_over(base: k8s.V1Pod, typed: Mapping[str, Any], container: str, changes: Mapping[str, Any]) -> k8s.V1Pod:
    """Return `base` with the typed manifest over it, whose one container goes by the name `container`.

    `changes` say what earlier pods of this try taught: kept on the pod, and the nodes to `avoid` ruled out.
    """
    from airflow_mlops_provider.runners.kubernetes import CHANGES, avoiding

    whole = PodGenerator.reconcile_pods(base, PodGenerator.deserialize_model_dict(typed))
    whole.spec.containers[0].name = container
    whole.metadata.annotations[CHANGES] = json.dumps(dict(changes))
    if not changes.get("avoid"):
        return whole
    data = k8s.ApiClient().sanitize_for_serialization(whole)
    data["spec"]["affinity"] = avoiding(data["spec"].get("affinity"), changes["avoid"])
    return PodGenerator.deserialize_model_dict(data)

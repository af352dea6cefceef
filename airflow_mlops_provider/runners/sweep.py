"""Pods and Secrets of steps that nobody waits for any more: what is left where Airflow died at the wrong moment."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["sweep"]

# Every pod of a step has this label, and its Secret the pod's labels.
_OURS = "mlops.step"
_GONE = 404


def sweep(namespace: str, older_than: timedelta, now: datetime, *, dry_run: bool = False) -> list[str]:
    """Delete the pods, jobs and Secrets of steps made before `now - older_than`; return what they are, as `kind/name`.

    Whatever state they are in: `older_than` is longer than any step of yours runs. The cluster is the one of
    `KUBECONFIG` or the one that this runs in. Raises MissingExtraError, ConfigError or TransientError.
    """
    api, failed = _api()
    found = []
    try:
        for kind, item in _ours(api, namespace):
            if item.metadata.creation_timestamp <= now - older_than and item.metadata.deletion_timestamp is None:
                found.append(f"{kind}/{item.metadata.name}")
                if not dry_run:
                    _delete(api, kind, item.metadata.name, namespace, failed)
    except failed as exc:
        raise TransientError(f"Kubernetes' API: {exc.status} {exc.reason}") from exc
    return found


def _api() -> tuple[Any, Any]:
    try:
        from kubernetes import client, config
        from kubernetes.client.exceptions import ApiException
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "kubernetes") from exc
    found = client.Configuration()
    # The client itself reads the variable only once, as it is imported.
    file = {"config_file": os.environ["KUBECONFIG"]} if "KUBECONFIG" in os.environ else {}
    try:
        config.load_config(client_configuration=found, **file)
    except config.ConfigException as exc:
        raise ConfigError(f"no cluster: set KUBECONFIG, or run it in a pod: {exc}") from exc
    return client.CoreV1Api(client.ApiClient(found)), ApiException


def _batch(api: Any) -> Any:
    from kubernetes import client

    return client.BatchV1Api(api.api_client)


def _ours(api: Any, namespace: str) -> Iterator[tuple[str, Any]]:
    for pod in api.list_namespaced_pod(namespace, label_selector=_OURS).items:
        yield "pod", pod
    for job in _batch(api).list_namespaced_job(namespace, label_selector=_OURS).items:
        yield "job", job
    for secret in api.list_namespaced_secret(namespace, label_selector=_OURS).items:
        yield "secret", secret


def _delete(api: Any, kind: str, name: str, namespace: str, failed: Any) -> None:
    deletes = {"pod": api.delete_namespaced_pod, "secret": api.delete_namespaced_secret}
    try:
        if kind == "job":  # its service goes with it
            _batch(api).delete_namespaced_job(name, namespace, propagation_policy="Background")
        else:
            deletes[kind](name, namespace)
    except failed as exc:
        # A Secret goes with its pod.
        if exc.status != _GONE:
            raise

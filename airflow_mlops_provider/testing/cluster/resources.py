"""New and changed objects as the API would store them."""

from __future__ import annotations

import base64
import copy
import secrets

from airflow_mlops_provider.testing.cluster.discovery import RESOURCES
from airflow_mlops_provider.testing.cluster.jobs import check_job_update, new_job
from airflow_mlops_provider.testing.cluster.objects import Json, stamp
from airflow_mlops_provider.testing.cluster.pods import check_name, check_update, new_pod
from airflow_mlops_provider.testing.cluster.services import new_service
from airflow_mlops_provider.testing.cluster.status import bad_request, conflict, invalid
from airflow_mlops_provider.testing.cluster.volumes import check_volumes

__all__ = ["made", "updated"]

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
# What the API sets itself, whatever a client sends.
_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "name")


def made(resource: str, namespace: str, sent: Json) -> Json:
    """Return the object to store. Raises ApiError 400 or 422 for one that cannot be."""
    kind = RESOURCES[resource].kind
    item = copy.deepcopy(sent)
    meta = item["metadata"] = item.get("metadata") or {}
    if meta.pop("resourceVersion", None):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if namespace and meta.setdefault("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = meta["generateName"] + "".join(secrets.choice(_LETTERS) for _ in range(5))
    if not meta.get("name"):
        raise invalid(
            kind, "", [("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")]
        )
    check_name(kind, meta["name"])
    item |= {"kind": kind, "apiVersion": RESOURCES[resource].api_version}
    if resource == "pods":
        check_volumes(item)
        return new_pod(item)
    if resource == "jobs":
        check_volumes({"metadata": meta, **((item.get("spec") or {}).get("template") or {"spec": {}})})
        return new_job(item)
    return new_service(item) if resource == "services" else _filled(resource, item)


def updated(resource: str, before: Json, sent: Json, *, status_only: bool) -> Json:
    """Return what the object becomes. Raises ApiError 409 or 422 where it may not."""
    meta, own = sent.get("metadata") or {}, before["metadata"]
    if meta.get("uid", own["uid"]) != own["uid"]:
        raise conflict(resource, own["name"], "the UID in the precondition does not match the UID in record")
    kept = {name: own[name] for name in _OWN if name in own}
    kept["resourceVersion"] = meta.get("resourceVersion") or own["resourceVersion"]
    if status_only:
        return before | {"status": sent.get("status") or {}, "metadata": own | kept}
    item = sent | {"metadata": {**meta, **kept}}
    if resource == "pods":
        item = item | {"status": before["status"]}
        check_update(before, item)
    if resource == "jobs":
        item = item | {"status": before["status"]}
        check_job_update(before, item)
    return _filled(resource, item)


def _filled(resource: str, item: Json) -> Json:
    if resource == "secrets":
        plain = item.pop("stringData", None) or {}
        coded = {name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}
        item["data"] = {**(item.get("data") or {}), **coded}
        item.setdefault("type", "Opaque")
    elif resource == "namespaces":
        item |= {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    elif resource == "events":
        item = {"count": 1, "type": "Normal", "firstTimestamp": stamp(), "lastTimestamp": stamp(), **item}
    return item

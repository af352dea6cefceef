"""Events: what scheduler, kubelet and controllers tell about a pod or a job."""

from __future__ import annotations

import time

from airflow_mlops_provider.testing.cluster.objects import Json, stamp
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["tell"]

WARNINGS = frozenset({"BackOff", "BackoffLimitExceeded", "Evicted", "Failed", "FailedMount", "FailedScheduling"})
WARNINGS |= {"NodeNotReady", "OOMKilling"}


def tell(store: Store, item: Json, reason: str, message: str, *, source: str = "kubelet", container: str = "") -> None:
    """Keep an event about `item`; one that says the same again is counted in the first."""
    meta = item["metadata"]
    about = {"kind": item["kind"], "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
    about |= {"apiVersion": item["apiVersion"], "resourceVersion": meta.get("resourceVersion", "")}
    if container:
        about["fieldPath"] = f"spec.containers{{{container}}}"
    for event in store.select("events", meta["namespace"], lambda event: _same(event, about, reason, message)):
        store.replace("events", event | {"count": event["count"] + 1, "lastTimestamp": stamp()})
        return
    host = {"host": item["spec"]["nodeName"]} if source == "kubelet" and item["spec"].get("nodeName") else {}
    store.create(
        "events",
        {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{meta['name']}.{time.time_ns():x}", "namespace": meta["namespace"]},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": {"component": source, **host},
            "firstTimestamp": stamp(),
            "lastTimestamp": stamp(),
            "count": 1,
            "type": "Warning" if reason in WARNINGS else "Normal",
            "eventTime": None,
            "reportingComponent": source,
            "reportingInstance": host.get("host", ""),
        },
    )


def _same(event: Json, about: Json, reason: str, message: str) -> bool:
    said = (event["involvedObject"].get("uid"), event["reason"], event["message"])
    return said == (about["uid"], reason, message)

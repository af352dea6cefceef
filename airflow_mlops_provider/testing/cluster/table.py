"""Lists as tables, the form in which `kubectl get` asks for them."""

from __future__ import annotations

from airflow_mlops_provider.testing.cluster.objects import Json, now, parse_time

__all__ = ["table"]

_COLUMNS = {
    "pods": ("Name", "Ready", "Status", "Restarts", "Age"),
    "jobs": ("Name", "Status", "Completions", "Duration", "Age"),
    "services": ("Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"),
    "events": ("Last Seen", "Type", "Reason", "Object", "Message"),
}


def table(resource: str, items: list[Json], meta: Json) -> Json:
    """Return the `Table` object of these items."""
    columns = _COLUMNS.get(resource, ("Name", "Age"))
    kinds = [{"name": name, "type": "string", "format": "name" if name == "Name" else ""} for name in columns]
    rows = [{"cells": _cells(resource, item), "object": _partial(item)} for item in items]
    definitions = [kind | {"description": "", "priority": 0} for kind in kinds]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _partial(item: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def _cells(resource: str, item: Json) -> list[str]:
    name, age = item["metadata"]["name"], _age(item["metadata"]["creationTimestamp"])
    if resource == "pods":
        states = item["status"].get("containerStatuses") or []
        ready = f"{sum(one['ready'] for one in states)}/{len(item['spec']['containers'])}"
        return [name, ready, _word(item), str(sum(one["restartCount"] for one in states)), age]
    if resource == "jobs":
        done = f"{item['status'].get('succeeded', 0)}/{item['spec']['completions']}"
        return [name, _job_word(item), done, _duration(item["status"]), age]
    if resource == "services":
        ports = ",".join(f"{one['port']}/{one.get('protocol', 'TCP')}" for one in item["spec"].get("ports") or [])
        return [name, item["spec"]["type"], item["spec"]["clusterIP"], "<none>", ports or "<none>", age]
    if resource == "events":
        about = f"{item['involvedObject']['kind'].lower()}/{item['involvedObject']['name']}"
        return [_age(item["lastTimestamp"]), item["type"], item["reason"], about, item["message"]]
    return [name, age]


def _word(pod: Json) -> str:
    """Return the status word as `kubectl` users know it: the most telling reason, else the phase."""
    status = pod["status"]
    if "deletionTimestamp" in pod["metadata"]:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    reasons = [
        part["reason"]
        for one in status.get("containerStatuses") or []
        for part in one["state"].values()
        if part.get("reason")
    ]
    word = status.get("reason") or (reasons[0] if reasons else status["phase"])
    return str(word)


def _job_word(job: Json) -> str:
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    held = {one["type"] for one in job["status"].get("conditions") or [] if one["status"] == "True"}
    return next(
        (word for word in ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget") if word in held), "Running"
    )


def _duration(status: Json) -> str:
    """Return how long a job has run: until its completion, which one that failed has none of."""
    if "startTime" not in status:
        return ""
    return _age(status["startTime"], status.get("completionTime"))


def _age(since: str, until: str | None = None) -> str:
    seconds = int(((parse_time(until) if until else now()) - parse_time(since)).total_seconds())
    if seconds < 120:
        return f"{seconds}s"
    return f"{seconds // 60}m" if seconds < 7_200 else f"{seconds // 3_600}h"

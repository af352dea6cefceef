"""The job controller: makes a job's pods, counts their ends, and ends the job with them."""

from __future__ import annotations

import asyncio
import copy

from airflow_mlops_provider.testing.cluster.events import tell
from airflow_mlops_provider.testing.cluster.kubelet import Kubelet
from airflow_mlops_provider.testing.cluster.objects import Json, key_of, stamp
from airflow_mlops_provider.testing.cluster.podstatus import condition, with_condition
from airflow_mlops_provider.testing.cluster.resources import made
from airflow_mlops_provider.testing.cluster.services import write_hosts
from airflow_mlops_provider.testing.cluster.status import ApiError
from airflow_mlops_provider.testing.cluster.store import Store
from airflow_mlops_provider.testing.cluster.tasks import report

__all__ = ["JobController"]

_PREFIX = "batch.kubernetes.io/"
_INDEX = f"{_PREFIX}job-completion-index"
_MARK = f"metadata.annotations['{_INDEX}']"
_OVER = ("Succeeded", "Failed")


class JobController:
    """Follows jobs, their pods and services. Only the server's event loop touches it.

    One pod that fails, or is being deleted before it has succeeded, fails its job: the others are deleted, and when
    none of them runs any more, so is said. The host names of a service's pods are kept up to date on the way.
    """

    def __init__(self, store: Store, kubelet: Kubelet) -> None:
        self._store = store
        self._kubelet = kubelet
        self._ends: dict[str, dict[int, str]] = {}  # by the job's uid: how each index ended, also once its pod is gone
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start to follow."""
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(report)

    def stop(self) -> None:
        """Let go of everything as it is."""
        if self._task:
            self._task.cancel()

    async def _follow(self) -> None:
        version, busy = self._store.version, False
        with self._store.moves() as moved:
            while True:
                await moved.wait()
                moved.clear()
                # Most clusters have no jobs: their pods' changes cost nothing.
                if busy or self._concerned(version):
                    busy = await self._sync()
                version = self._store.version

    def _concerned(self, version: int) -> bool:
        try:
            return any(change.key.resource in ("jobs", "services") for change in self._store.after(version))
        except ApiError:
            return True  # what happened is forgotten: look

    async def _sync(self) -> bool:
        services = self._store.select("services")
        for namespace in {service["metadata"]["namespace"] for service in services}:
            write_hosts(self._store, namespace, self._kubelet.node.hosts(namespace))
        jobs = [job for job in self._store.select("jobs") if "deletionTimestamp" not in job["metadata"]]
        jobs = [job for job in jobs if not _holds(job["status"], "Complete") and not _holds(job["status"], "Failed")]
        for job in jobs:
            if "startTime" in job["status"]:
                await self._look_after(job)
            else:
                self._begin(job)
        return bool(jobs or services)

    # -- one job ------------------------------------------------------------------------------------------------

    def _begin(self, job: Json) -> None:
        uid, count = job["metadata"]["uid"], job["spec"]["completions"]
        self._ends[uid] = {}
        selector = {"matchLabels": {f"{_PREFIX}controller-uid": uid}}
        status = {"startTime": stamp(), "active": count, "ready": 0, "uncountedTerminatedPods": {}}
        self._store.replace("jobs", job | {"spec": job["spec"] | {"selector": selector}, "status": status})
        for index in range(count):
            pod = self._store.create("pods", made("pods", job["metadata"]["namespace"], _pod_of(job, index)))
            self._kubelet.admit(pod)
            self._tell(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _look_after(self, job: Json) -> None:
        uid, count = job["metadata"]["uid"], job["spec"]["completions"]
        pods = {int(pod["metadata"]["annotations"][_INDEX]): pod for pod in self._pods(job)}
        ends = self._ends[uid]
        for index in range(count):
            if index not in ends and (end := _end(pods.get(index))):
                ends[index] = end
        if "Failed" in ends.values():
            status = with_condition(job["status"], _failure("FailureTarget"))
            for index in set(range(count)) - set(ends):
                ends[index] = "Failed"
                await self._kubelet.delete(key_of("pods", pods[index]), {})
                self._tell(job, "SuccessfulDelete", f"Deleted pod: {pods[index]['metadata']['name']}")
        else:
            status = job["status"]
        left = [pod for pod in self._pods(job) if pod["status"]["phase"] not in _OVER]
        self._keep(job, _counted(status, ends, left), over=not left)

    def _keep(self, job: Json, status: Json, *, over: bool) -> None:
        job = self._store.get(key_of("jobs", job))
        if over and _holds(status, "FailureTarget"):
            status = with_condition(status, _failure("Failed"))
            self._tell(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif status.get("succeeded") == job["spec"]["completions"]:
            for kind in ("SuccessCriteriaMet", "Complete"):
                reached = "Reached expected number of succeeded pods"
                status = with_condition(
                    status, condition(kind, holds=True, reason="CompletionsReached", message=reached)
                )
            status |= {"completionTime": stamp()}
            self._tell(job, "Completed", "Job completed")
        self._store.replace("jobs", job | {"status": status})

    def _pods(self, job: Json) -> list[Json]:
        uid = job["metadata"]["uid"]
        owned = {"kind": "Job", "uid": uid}.items()
        return self._store.select(
            "pods",
            job["metadata"]["namespace"],
            lambda pod: any(owned <= owner.items() for owner in pod["metadata"].get("ownerReferences") or ()),
        )

    def _tell(self, job: Json, reason: str, message: str) -> None:
        tell(self._store, job, reason, message, source="job-controller")


def _end(pod: Json | None) -> str | None:
    """Return Succeeded or Failed for a pod that counts as over: one that goes before it has succeeded has failed."""
    if pod is None:
        return "Failed"
    phase: str = pod["status"]["phase"]
    if phase in _OVER:
        return phase
    return "Failed" if "deletionTimestamp" in pod["metadata"] else None


def _counted(status: Json, ends: dict[int, str], left: list[Json]) -> Json:
    succeeded = sorted(index for index, end in ends.items() if end == "Succeeded")
    leaving = [pod for pod in left if "deletionTimestamp" in pod["metadata"]]
    ready = [pod for pod in left if _holds(pod["status"], "Ready")]
    counts = {"active": len(left) - len(leaving), "terminating": len(leaving), "ready": len(ready)}
    counts |= {"succeeded": len(succeeded), "failed": len(ends) - len(succeeded)}
    kept = {name: value for name, value in status.items() if name not in counts}
    return (
        kept | {name: n for name, n in counts.items() if n or name == "ready"} | {"completedIndexes": _runs(succeeded)}
    )


def _runs(indexes: list[int]) -> str:
    """Return sorted indexes as the API writes them: `1,3-5,7`."""
    runs: list[list[int]] = []
    for index in indexes:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    parts = [f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs]
    return ",".join(parts)


def _failure(kind: str) -> Json:
    message = "Job has reached the specified backoff limit"
    return condition(kind, holds=True, reason="BackoffLimitExceeded", message=message)


def _holds(status: Json, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in status.get("conditions") or ())


def _pod_of(job: Json, index: int) -> Json:
    """Return the pod of an index, which it knows by label, annotation, host name and variable."""
    template, own = copy.deepcopy(job["spec"]["template"]), job["metadata"]
    meta, spec = template.get("metadata") or {}, template["spec"]
    labels = {f"{_PREFIX}controller-uid": own["uid"], "controller-uid": own["uid"]}
    labels |= {f"{_PREFIX}job-name": own["name"], "job-name": own["name"], _INDEX: str(index)}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": own["name"], "uid": own["uid"]}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": _MARK}}}
    for container in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        container["env"] = [*(container.get("env") or ()), variable]
    return {
        "metadata": {
            "generateName": f"{own['name']}-{index}-",
            "labels": {**(meta.get("labels") or {}), **labels},
            "annotations": {**(meta.get("annotations") or {}), _INDEX: str(index)},
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": spec | {"hostname": f"{own['name']}-{index}"},
    }

"""Every pod's run, and the deletion of objects with what belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from airflow_mlops_provider.testing.cluster.faults import Evict, NodeLost, PodScript, Preempt
from airflow_mlops_provider.testing.cluster.image import Image
from airflow_mlops_provider.testing.cluster.node import Node
from airflow_mlops_provider.testing.cluster.objects import Json, Key, key_of, now, stamp
from airflow_mlops_provider.testing.cluster.podrun import PodRun
from airflow_mlops_provider.testing.cluster.status import conflict, success
from airflow_mlops_provider.testing.cluster.store import Store
from airflow_mlops_provider.testing.cluster.tasks import Tasks

__all__ = ["Kubelet"]

# Who may own and be owned: all that a namespace holds.
_COLLECTED = ("jobs", "services", "pods", "secrets", "configmaps")
_BACKGROUND = {"propagationPolicy": "Background"}


class Kubelet:
    """Runs pods and ends them. Only the server's event loop touches it."""

    def __init__(
        self, store: Store, images: Mapping[str, Image], folder: Path, base_env: Mapping[str, str], backoff_s: float
    ) -> None:
        self.script = PodScript()
        self._store = store
        self._runs: dict[str, PodRun] = {}
        self._tasks = Tasks()
        self.node = Node(store, images, folder, base_env, backoff_s, self._delete_pod)

    def admit(self, pod: Json) -> None:
        """Start the life of a pod that the store has just taken."""
        self._runs[pod["metadata"]["uid"]] = PodRun(self.node, pod, self.script.next_for(pod))

    def run_of(self, pod: Json) -> PodRun:
        """Return the run of a pod that the store has."""
        return self._runs[pod["metadata"]["uid"]]

    def afflict(self, key: Key, fault: Evict | Preempt | NodeLost) -> None:
        """Let the fault happen to the pod now. Raises ApiError 404 if there is no such pod."""
        self.run_of(self._store.get(key)).inflict(fault)

    async def delete(self, key: Key, options: Json) -> Json:
        """Delete an object as the options say; return the API's answer. Raises ApiError 404 or 409."""
        item = self._store.get(key)
        _check_preconditions(key, item, options.get("preconditions") or {})
        # A job's pods stay by default, as they did before there was a policy.
        policy = options.get("propagationPolicy") or ("Orphan" if key.resource == "jobs" else "Background")
        if policy == "Orphan":
            self._orphan(item)
        if key.resource == "pods":
            return await self._delete_pod(key, options.get("gracePeriodSeconds"))
        if policy == "Foreground":
            return self._delete_last(key, item)
        self._remove(key)
        return success(key.resource, key.name, item["metadata"]["uid"])

    def collect_late(self, key: Key, item: Json) -> None:
        """Delete an object that has just been made for owners that are all gone by now."""
        if item["metadata"].get("ownerReferences"):
            self._tasks.spawn(self._collect(key))

    async def close(self) -> None:
        """Kill every container."""
        await asyncio.gather(*(run.end(0) for run in self._runs.values()))
        await self._tasks.done()

    def _delete_last(self, key: Key, item: Json) -> Json:
        """Mark the object as one that goes when all that it owns has gone."""
        meta = {"deletionTimestamp": stamp(), "deletionGracePeriodSeconds": 0, "finalizers": ["foregroundDeletion"]}
        marked = self._store.replace(key.resource, item | {"metadata": item["metadata"] | meta})
        self._tasks.spawn(self._remove_last(key, item["metadata"]["uid"]))
        return marked

    async def _remove_last(self, key: Key, uid: str) -> None:
        with self._store.moves() as moved:
            while left := self._owned(key.namespace, uid):
                moved.clear()
                for one in left:
                    if self._store.find(one) and "deletionTimestamp" not in self._store.get(one)["metadata"]:
                        await self.delete(one, _BACKGROUND)
                if self._owned(key.namespace, uid):
                    await moved.wait()
        if self._store.find(key, uid):
            self._remove(key)

    async def _delete_pod(self, key: Key, grace_s: float | None) -> Json:
        pod = self._store.get(key)
        grace_s = _grace_s(pod, grace_s)
        if grace_s == 0:
            last = self._remove(key)
            self._tasks.spawn(self._finish(pod, 0))
            return last
        until = now() + timedelta(seconds=grace_s)
        meta = {"deletionTimestamp": stamp(until), "deletionGracePeriodSeconds": int(grace_s)}
        marked = self._store.replace("pods", pod | {"metadata": pod["metadata"] | meta})
        self._tasks.spawn(self._finish(pod, grace_s))
        return marked

    async def _finish(self, pod: Json, grace_s: float) -> None:
        uid = pod["metadata"]["uid"]
        run = self._runs[uid]
        await run.end(grace_s)
        key = key_of("pods", pod)
        if self._store.find(key, uid):
            self._remove(key)
        if self._runs.pop(uid, None):
            run.remove_files()

    def _remove(self, key: Key) -> Json:
        last = self._store.remove(key)
        uid = last["metadata"]["uid"]
        for one in self._owned(key.namespace, uid):
            self._tasks.spawn(self._collect(one))
        return last

    def _owned(self, namespace: str, uid: str) -> list[Key]:
        return [
            key_of(resource, item)
            for resource in _COLLECTED
            for item in self._store.select(resource, namespace, lambda item: _belongs(item, uid))
        ]

    async def _collect(self, key: Key) -> None:
        """Delete an object without owners; one that has another owner left stays."""
        item = self._store.find(key)
        if item and not any(self._is_there(owner["uid"]) for owner in item["metadata"].get("ownerReferences") or []):
            await self.delete(key, _BACKGROUND)

    def _is_there(self, uid: str) -> bool:
        return any(item["metadata"]["uid"] == uid for resource in _COLLECTED for item in self._store.select(resource))

    def _orphan(self, owner: Json) -> None:
        uid = owner["metadata"]["uid"]
        for key in self._owned(owner["metadata"]["namespace"], uid):
            item = self._store.get(key)
            owners = [one for one in item["metadata"]["ownerReferences"] if one["uid"] != uid]
            self._store.replace(key.resource, item | {"metadata": item["metadata"] | {"ownerReferences": owners}})


def _belongs(item: Json, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or [])


def _grace_s(pod: Json, asked: float | None) -> float:
    """Return the grace period that counts: none for a pod that is over or was never on a node."""
    if pod["status"]["phase"] in ("Succeeded", "Failed") or not pod["spec"].get("nodeName"):
        return 0
    asked = pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
    # A second deletion can only shorten the first one's.
    return float(min(asked, pod["metadata"].get("deletionGracePeriodSeconds", asked)))


def _check_preconditions(key: Key, item: Json, wanted: Json) -> None:
    for name in ("uid", "resourceVersion"):
        if name in wanted and wanted[name] != item["metadata"][name]:
            label = "UID" if name == "uid" else "ResourceVersion"
            said = f"Precondition failed: {label} in precondition: {wanted[name]}, {label} in object meta: "
            raise conflict(key.resource, key.name, said + item["metadata"][name])

"""Hook of a trigger that waits for one pod: it asks the API only when there may be something new."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from kubernetes_asyncio import client as k8s

from airflow_mlops_provider.triggers.pod_watch import STEP_LABEL, PodWatch, watching

__all__ = ["PodHook"]

# The pod is read that often even if nobody tells anything: a watch may lag behind.
_LOOK_S = 60.0
# Events that come without a change of the pod are of interest too, but not urgent.
_EVENTS_S = 30.0
_GONE = 404


class PodHook(AsyncKubernetesHook):  # type: ignore[misc]  # untyped there
    """KubernetesPodTrigger's hook; while `listening`, all of a triggerer share one watch and one client.

    :param job: the job that the pod is of: with the pod it is deleted
    :param connection: AsyncKubernetesHook's arguments
    """

    def __init__(self, job: str | None, **connection: Any) -> None:
        super().__init__(**connection)
        self._job = job
        self._connection = connection
        self._watch: PodWatch | None = None
        self._news = asyncio.Event()
        self._reading = asyncio.Lock()
        self._seen: Any = None
        self._due = 0.0

    @asynccontextmanager
    async def listening(self, name: str, namespace: str) -> AsyncIterator[None]:
        """Share with whoever else waits for a pod of this namespace."""
        key = json.dumps([namespace, self._connection], sort_keys=True, default=str)
        connect = partial(AsyncKubernetesHook, **self._connection)
        async with watching(key, connect, namespace, name) as (self._watch, self._news):
            try:
                yield
            finally:
                self._watch = None

    async def news(self, within_s: float) -> None:
        """Return when there may be something new of the pod, after so many seconds at the latest."""
        try:
            async with asyncio.timeout(within_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def get_pod(self, name: str, namespace: str) -> Any:
        """Return the pod as it is now: the one read before, where nothing has changed since."""
        async with self._reading:
            if self._may_have_changed():
                # Before the read: what happens meanwhile is news.
                self._news.clear()
                self._seen = None
                self._seen = await super().get_pod(name, namespace)
                self._due = asyncio.get_running_loop().time() + _LOOK_S * random.uniform(0.8, 1)
            return self._seen

    def _may_have_changed(self) -> bool:
        if self._watch is None or self._seen is None or STEP_LABEL not in (self._seen.metadata.labels or {}):
            return True
        late = asyncio.get_running_loop().time() > self._due
        return late or self._news.is_set() or not self._watch.trusted

    @asynccontextmanager
    async def get_conn(self) -> AsyncIterator[k8s.ApiClient]:
        """Lend a client."""
        async with super().get_conn() if self._watch is None else self._watch.client() as client:
            yield client

    async def watch_pod_events(
        self, name: str, namespace: str, resource_version: str | None = None, timeout_seconds: float = 30
    ) -> AsyncIterator[Any]:
        """Give the pod's events whenever it has changed, and `timeout_seconds` later those that came with that.

        A stream for each pod that waits for a node, as KubernetesPodTrigger has it, takes a megabyte.
        """
        clock, seen, due = asyncio.get_running_loop().time, None, 0.0
        while True:
            try:
                pod = await self.get_pod(name, namespace)
            except k8s.ApiException as exc:
                if exc.status != _GONE:
                    raise
                # Whoever waits for its start is about to see that too, and says so.
                await asyncio.sleep(timeout_seconds)
                return
            if pod is not seen or clock() >= due:
                for event in (await self.get_pod_events(name, namespace, resource_version)).items:
                    yield event
                due, seen = clock() + (_EVENTS_S if pod is seen else timeout_seconds), pod
            await self.news(timeout_seconds)

    async def delete_pod(self, name: str, namespace: str, grace_period_seconds: int | None = None) -> None:
        """Delete the pod, or its job with all that it owns; one that is gone already is as good."""
        if self._job is None:
            await super().delete_pod(name, namespace, grace_period_seconds)
            return
        async with self.get_conn() as connection:
            batch = k8s.BatchV1Api(connection)
            try:
                await batch.delete_namespaced_job(self._job, namespace, propagation_policy="Background")
            except k8s.ApiException as exc:
                if exc.status != _GONE:
                    raise

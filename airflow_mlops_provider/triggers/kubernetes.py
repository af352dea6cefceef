"""Trigger of a pod that a step runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState, KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLaunchTimeoutException
from airflow.triggers.base import TriggerEvent
from kubernetes_asyncio import client

from airflow_mlops_provider.runners.pod_job import JOB

__all__ = ["StepPodTrigger", "abandoned"]

# An event that comes while the deferred task's process is still ending makes Airflow fail the task: the supervisor
# notices that end up to five seconds late at its default heartbeat.
_EARLIEST_S = 10.0
_GONE = 404
# So long after its grace period a deleted pod should be gone, wherever its node is.
_ABANDONED_AFTER = timedelta(seconds=60)


class StepPodTrigger(KubernetesPodTrigger):  # type: ignore[misc]  # untyped there
    """KubernetesPodOperator's trigger, whose event never comes earlier than ten seconds after it started.

    A pod that was deleted and whose node does not answer counts as failed: it would be running for ever. The first
    pod of a job is deleted with its job.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.StepPodTrigger", super().serialize()[1]

    @cached_property
    def hook(self) -> Any:
        """KubernetesPodTrigger's hook, which deletes the pod's job where it is of one."""
        hook = super().hook
        if job := self.trigger_kwargs.get(JOB):
            hook.delete_pod = partial(_delete_job, hook, job)
        return hook

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event of the pod's end."""
        started = time.monotonic()
        async for event in super().run():
            # Who stops the task while its event waits still wants the pod deleted.
            self._fired_event = False
            await asyncio.sleep(max(0.0, _EARLIEST_S - (time.monotonic() - started)))
            self._fired_event = True
            yield event

    async def _get_pod(self) -> Any:
        try:
            return await super()._get_pod()
        except client.ApiException as exc:
            if exc.status != _GONE or JOB not in self.trigger_kwargs:
                raise
            # When another worker failed this is the rule, and no trace in the task's log; why, the operator will say.
            raise PodLaunchTimeoutException(f"pod {self.pod_name} is gone: its job has ended") from exc

    def define_pod_container_state(self, pod: Any) -> ContainerState:
        """Return the state as KubernetesPodTrigger sees it; failed for a pod that nobody will ever end."""
        return ContainerState.FAILED if abandoned(pod) else super().define_pod_container_state(pod)


async def _delete_job(hook: Any, job: str, *, namespace: str, **_: Any) -> None:  # called as its `delete_pod`
    """Delete the job with all that it owns; one that is gone already is as good."""
    async with hook.get_conn() as connection:
        try:
            await client.BatchV1Api(connection).delete_namespaced_job(job, namespace, propagation_policy="Background")
        except client.ApiException as exc:
            if exc.status != _GONE:
                raise


def abandoned(pod: Any) -> bool:  # of either client
    """Tell whether a pod that was deleted should long be gone: its node does not answer."""
    until = pod.metadata.deletion_timestamp
    return until is not None and datetime.now(UTC) - until > _ABANDONED_AFTER

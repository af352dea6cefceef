"""Trigger of a pod that a step runs in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState, KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLaunchTimeoutException
from airflow.triggers.base import TriggerEvent
from kubernetes_asyncio import client

from airflow_mlops_provider.runners.pod_job import JOB
from airflow_mlops_provider.triggers.pod_hook import PodHook

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

    poll_interval: float
    # So long `_get_pod` waits for news; not at all until the pod has started.
    _pace_s = 0.0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.StepPodTrigger", super().serialize()[1]

    @cached_property
    def hook(self) -> PodHook:
        """KubernetesPodTrigger's hook, of a watch that all the triggers share."""
        return PodHook(
            self.trigger_kwargs.get(JOB),
            conn_id=self.kubernetes_conn_id,
            in_cluster=self.in_cluster,
            config_dict=self.config_dict,
            cluster_context=self.cluster_context,
            connection_extras=self.connection_extras,
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the event of the pod's end."""
        started = time.monotonic()
        event = await self._end()
        await asyncio.sleep(max(0.0, _EARLIEST_S - (time.monotonic() - started)))
        self._fired_event = True
        yield event

    async def _end(self) -> TriggerEvent:
        async with self.hook.listening(self.pod_name, self.pod_namespace):
            async for event in super().run():
                # Who stops the task while its event waits still wants the pod deleted.
                self._fired_event = False
                ended: TriggerEvent = event
        return ended

    async def _wait_for_container_completion(self) -> TriggerEvent:
        """Wait as KubernetesPodTrigger does, but let the sleep between two looks end with the first news."""
        self._pace_s, self.poll_interval = float(self.poll_interval), 0.0
        ended: TriggerEvent = await super()._wait_for_container_completion()
        return ended

    async def _get_pod(self) -> Any:
        try:
            await self.hook.news(self._pace_s)
            return await super()._get_pod()
        except client.ApiException as exc:
            if exc.status != _GONE or JOB not in self.trigger_kwargs:
                raise
            # When another worker failed this is the rule, and no trace in the task's log; why, the operator will say.
            raise PodLaunchTimeoutException(f"pod {self.pod_name} is gone: its job has ended") from exc

    def define_pod_container_state(self, pod: Any) -> ContainerState:
        """Return the state as KubernetesPodTrigger sees it; failed for a pod that nobody will ever end."""
        return ContainerState.FAILED if abandoned(pod) else super().define_pod_container_state(pod)


def abandoned(pod: Any) -> bool:  # of either client
    """Tell whether a pod that was deleted should long be gone: its node does not answer."""
    until = pod.metadata.deletion_timestamp
    return until is not None and datetime.now(UTC) - until > _ABANDONED_AFTER

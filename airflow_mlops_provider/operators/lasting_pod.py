"""KubernetesPodOperator with what a pod of hours needs: it is found again, and gone only when its end has been read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import OnFinishAction, OnKillAction, PodPhase
from airflow.sdk.exceptions import AirflowException, AirflowSkipException
from kubernetes import client as k8s

from airflow_mlops_provider.hooks.kubernetes import job_of, patient, pod_now, remove
from airflow_mlops_provider.hooks.kubernetes_job import held_by, is_first, job_now
from airflow_mlops_provider.runners.pod_job import JOB

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["LastingPod"]


class LastingPod(KubernetesPodOperator):  # type: ignore[misc]  # untyped there
    """A KubernetesPodOperator that keeps how its pod ended in `seen`, and leaves the pod alone until `leave`.

    `mine` is the pod that was made, is just being made, or was found; a kill deletes it at any of these moments.
    Where it is the first pod of a job, the job is left and deleted as a whole.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mine: k8s.V1Pod | None = None
        self.seen: k8s.V1Pod | None = None

    @cached_property
    def hook(self) -> Any:
        """KubernetesPodOperator's hook, whose calls outlast an API that is away for a while."""
        hook = super().hook
        patient(hook.core_v1_client)
        return hook

    def find_pod(self, namespace: str, context: Context, *, exclude_checked: bool = True) -> k8s.V1Pod | None:
        """Return this try's pod; before there is one, the newest of this task whose end nobody has read."""
        if self.mine is not None:
            return pod_now(self.client, self.mine.metadata.name, namespace)
        selector = self._build_find_pod_label_selector(context, exclude_checked=exclude_checked)
        found = filter(is_first, self.client.list_namespaced_pod(namespace, label_selector=selector).items)
        return max(found, key=lambda pod: pod.metadata.creation_timestamp, default=None)

    def cleanup(
        self,
        pod: k8s.V1Pod,  # noqa: ARG002  # KubernetesPodOperator's form
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> None:
        """Keep how the pod ended; what KubernetesPodOperator does here is done by `leave`."""
        if remote_pod is None or self._killed:
            return
        self.seen = remote_pod
        if remote_pod.status.phase not in PodPhase.terminal_states:
            # In sync mode it may have been read when it had just been made.
            self.seen = pod_now(self.client, remote_pod.metadata.name, remote_pod.metadata.namespace)

    def leave(self, context: Context) -> None:
        """Delete the pod or mark it as read, as `on_finish_action` says; one that is not over is deleted."""
        if self.mine is not None and job_of(self.mine):
            self._leave_job(self.mine)
            return
        if self.seen is not None and self.seen.status.phase not in PodPhase.terminal_states:
            if self.on_kill_action == OnKillAction.DELETE_POD:
                self.pod_manager.delete_pod(self.seen)
            return
        try:
            super().cleanup(self.seen, self.seen, None, context)
        except AirflowSkipException:
            raise
        except AirflowException:
            self.log.debug("the pod failed: that has been said")

    def _leave_job(self, first: k8s.V1Pod) -> None:
        held = held_by(job_now(self.client, str(job_of(first)), first.metadata.namespace))
        if "Gone" in held:
            return
        over = held & {"Complete", "Failed", "FailureTarget"}
        kept = [OnFinishAction.KEEP_POD, OnFinishAction.DELETE_ACTIVE_POD]
        kept += [] if "Complete" in held else [OnFinishAction.DELETE_SUCCEEDED_POD]
        if over and self.on_finish_action in kept:
            self.patch_already_checked(first, reraise=False)
        elif over or self.on_kill_action == OnKillAction.DELETE_POD:
            remove(self.client, first)

    def on_kill(self) -> None:
        """Delete the pod, also one that is just being made."""
        self.pod: k8s.V1Pod | None = self.pod or self.mine
        if self.pod is None or job_of(self.pod) is None:
            super().on_kill()
            return
        self._killed = True
        if self.on_kill_action == OnKillAction.DELETE_POD:
            remove(self.client, self.pod)

    def take(self, name: str, namespace: str, job: str | None) -> None:
        """Know the pod by its name and the job that it is of; the trigger then knows it too."""
        self.mine = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name=name, namespace=namespace, labels=job and {JOB: job}))
        if job:
            self.trigger_kwargs: dict[str, Any] = {**(self.trigger_kwargs or {}), JOB: job}

    def _write_logs(self, pod: k8s.V1Pod, follow: bool = False, since_time: Any = None) -> None:  # noqa: ARG002
        """Show the rest of the log; never wait for more: a pod that was out of time may have more for ever."""
        super()._write_logs(pod, follow=False, since_time=since_time)

    def _clean(self, event: dict[str, Any], result: dict[str, Any] | None, context: Context) -> None:
        """See how the pod ended; do not wait for one whose node has fallen silent."""
        from airflow_mlops_provider.triggers.kubernetes import abandoned

        known = {**event, "status": "timeout"} if self.pod is not None and abandoned(self.pod) else event
        super()._clean(known, result, context)

    def defer(self, *, trigger: Any, method_name: str, **kwargs: Any) -> None:
        """Wait with the trigger whose event comes late enough for Airflow."""
        from airflow_mlops_provider.triggers.kubernetes import StepPodTrigger

        super().defer(trigger=StepPodTrigger(**trigger.serialize()[1]), method_name=method_name, **kwargs)

"""Operator that runs a step in a pod. Loaded only where pods are used: it imports Kubernetes' client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from kubernetes import client as k8s
from kubernetes.client.exceptions import ApiException

from airflow_mlops_provider.exceptions import ConfigError, InputError
from airflow_mlops_provider.hooks.kubernetes import fault_of, job_of, make_pod, make_secret, pod_now
from airflow_mlops_provider.hooks.kubernetes_job import make_job, make_service
from airflow_mlops_provider.operators.lasting_pod import LastingPod
from airflow_mlops_provider.operators.links import MlflowRunLink, ModelVersionLink
from airflow_mlops_provider.operators.pod_end import end_seen
from airflow_mlops_provider.operators.pod_memory import Memory, recall, remember
from airflow_mlops_provider.operators.pod_outcome import outcome_in_lake
from airflow_mlops_provider.operators.pod_spec import checked_pod, known_classes, laid_over, named
from airflow_mlops_provider.operators.steps import operator_of
from airflow_mlops_provider.runners.pod_job import JOB

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

    from airflow_mlops_provider.contracts.pod import Pod
    from airflow_mlops_provider.contracts.protocol import Outcome, Request
    from airflow_mlops_provider.operators.base import StepOperator
    from airflow_mlops_provider.runners.pod_retry import Next

__all__ = ["KubernetesStepOperator"]

# In the trigger's event: what earlier pods of this try taught.
_CHANGES = "_mlops_changes"
# So long a pod may outlive its task's `execution_timeout`: Airflow stops it before.
_OVERTIME_S = 300


class KubernetesStepOperator(LastingPod):
    """Run a step of this package in a pod; what the pod says becomes what the step's own operator makes of it.

    It is a KubernetesPodOperator, deferred while the pod runs: every argument of that operator works, and
    `pod_template_file` lies under `pod`. A pod that the cluster took away is replaced within the same try. A pod
    that ended without an outcome has failed, whatever its exit code.

    :param step: `train`, or another step of this package
    :param spec: arguments of that step's operator (templated)
    :param pod: image, devices, memory, workers and the like: see `contracts.pod.Pod` (templated)
    :param gpu_classes: classes that `pod["gpu"]` may name; default: `[mlops] gpu_classes`
    :param notify: notifiers that are told what happened
    :param notify_on: of `refused`, `promoted`, `rolled_back` and `drift`, which; default: all
    :param do_xcom_push: whether the result becomes the task's XCom; there is never a sidecar for it
    :param logging_interval: seconds between two looks at the pod's log while the task is deferred
    """

    template_fields = (*LastingPod.template_fields, "spec", "pod_spec")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **LastingPod.template_fields_renderers,
        "spec": "json",
        "pod_spec": "json",
    }
    operator_extra_links = (MlflowRunLink(), ModelVersionLink())

    def __init__(
        self,
        *,
        step: str,
        spec: Mapping[str, Any],
        pod: Mapping[str, Any],
        gpu_classes: Mapping[str, Any] | None = None,
        notify: BaseNotifier | Sequence[BaseNotifier] = (),
        notify_on: Sequence[str] | None = None,
        deferrable: bool = True,
        do_xcom_push: bool = True,
        logging_interval: int | None = 30,
        log_pod_spec_on_failure: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable,
            do_xcom_push=False,
            logging_interval=logging_interval,
            log_pod_spec_on_failure=log_pod_spec_on_failure,
            **kwargs,
        )
        self.step = step
        self.spec = dict(spec)
        self.pod_spec = dict(pod)
        self.gpu_classes = gpu_classes
        self.notify = notify
        self.notify_on = notify_on
        self.pushes = do_xcom_push
        if self.execution_timeout is not None and self.active_deadline_seconds is None:
            # Whatever becomes of Airflow, Kubernetes ends it then.
            self.active_deadline_seconds: int | None = int(self.execution_timeout.total_seconds()) + _OVERTIME_S
        self.links: dict[str, str] = {}
        self.trigger_kwargs: dict[str, Any] = dict(self.trigger_kwargs or {})
        self._changes: dict[str, Any] = {}
        self._replacing = False
        self._following = False

    # -- from Airflow: two entries, one way out -------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Start the pod, or find the one that an earlier try started; see the class for what its end becomes."""
        self._changes, self._replacing = recall(context).changes, False
        return self._start(context)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Read the end of the pod that the trigger has seen end."""
        follow = super().trigger_reentry
        if self._following:  # the pod that `execute` found has ended: who follows it there reads its end too
            return follow(context, event)
        self._change(dict(event.get(_CHANGES) or {}))
        self.take(event["name"], event["namespace"], event.get(JOB))
        return self._run(context, lambda: follow(context, event))

    def _start(self, context: Context) -> Any:
        self.pod = self.pod_request_obj = self.remote_pod = self.mine = None
        self._change(self._changes)
        begin = super().execute
        return self._run(context, lambda: begin(context))

    def _run(self, context: Context, follow: Callable[[], Any]) -> Any:
        failure = self._followed(follow)
        try:
            found = self._next(context, failure)
        except AirflowFailException:
            self.leave(context)
            raise
        try:
            if found.action != "again":
                return self._ended(found, failure, context)
            self.log.warning("%s", found.reason)
            self._changes, self._replacing = dict(found.changes or {}), True
            remember(context, Memory(changes=self._changes))
        finally:
            # Not before Airflow has what the pod says: whoever comes after a crash finds it there.
            self.leave(context)
        return self._start(context)

    def _followed(self, follow: Callable[[], Any]) -> Any:  # an exception, or None
        """See the pod to its end; return what KubernetesPodOperator has against it."""
        self._following, self.seen = True, None
        try:
            follow()
        except (AirflowFailException, AirflowSkipException):
            raise
        except AirflowException as exc:
            if self.mine is None or self._killed:
                raise
            return exc
        except ApiException as exc:
            if self.mine is None or self._killed or exc.status != 404:
                raise AirflowException(f"{self.step}: Kubernetes' API: {fault_of(exc)}") from exc
            return exc
        finally:
            self._following = False
        if self._killed:
            raise AirflowException(f"{self.step}: stopped")
        return None

    def _next(self, context: Context, failure: Exception | None) -> Next:
        from airflow_mlops_provider.runners.pod_retry import next_of, with_changes
        from airflow_mlops_provider.runners.usage import lines_of

        pod, classes = self._pod(), known_classes(self.gpu_classes)
        name, end = end_seen(self.client, self.mine, self.seen, pod.workers, self.base_container_name)
        if end.cause == "running":  # so it is KubernetesPodOperator that would not wait any longer
            end = replace(end, detail=f"{end.detail}: {failure}")
        elif end.outcome is None and end.cause != "image":
            end = replace(end, outcome=outcome_in_lake(self._inner(), name, end, context))
        for line in lines_of(end.usage, with_changes(pod, self._changes), classes):
            self.log.info("%s", line)
        return next_of(end, pod, self._changes, classes)

    def _ended(self, found: Next, failure: Exception | None, context: Context) -> Any:
        """Return what the task returns, or raise why it failed."""
        if found.outcome is not None and found.outcome.status != "failed":
            return self._mapped(found.outcome, context)
        # The next try shall not take this pod for its own, and packs the bundle itself.
        remember(context, Memory(changes={k: v for k, v in (found.changes or {}).items() if k != "code"}))
        if found.outcome is not None:
            self._inner().fail(found.outcome)
        kind = AirflowFailException if found.action == "failed" else AirflowException
        raise kind(f"{self.step}: {found.reason}") from failure

    def _mapped(self, outcome: Outcome, context: Context) -> Any:
        inner, result = self._inner(), outcome.result or {}
        self.links = inner.made(result)
        value = inner.rejected(result, context) if outcome.status == "rejected" else inner.succeeded(result, context)
        if self.pushes:
            # By hand: KubernetesPodOperator without a sidecar silences Airflow's own push.
            self._push_xcom_with_fan_out(context["ti"], value)
        return value

    # -- the pod ------------------------------------------------------------------------------------------------

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """Return the pod: KubernetesPodOperator's own, and the typed spec over it."""
        from airflow_mlops_provider.runners.kubernetes import manifest
        from airflow_mlops_provider.runners.pod_retry import with_changes

        base = super().build_pod_request_obj(context, dry_run=dry_run)
        if context is None:
            raise ConfigError("a step's pod is built from a task's context; `airflow-mlops plan --manifest` shows it")
        try:
            request = self._request(context)
            pod = with_changes(self._pod(), self._changes)
            base = named(base, pod, request)
            secret = base.metadata.name if request.connections else None
            typed = manifest(
                pod,
                request,
                name=base.metadata.name,
                gpu_classes=known_classes(self.gpu_classes),
                secret=secret,
                code=self._changes.get("code"),
                unpaid=self._changes.get("unpaid", ()),
            )
        except InputError as exc:
            raise AirflowFailException(str(exc)) from exc
        self._connections = request.connections
        return laid_over(base, typed, self.base_container_name, self._changes)

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """Return the pod of an earlier try, also one that has ended: its outcome is read, no work is done twice."""
        found = None if self._replacing or not self.durable else self._of_an_earlier_try(pod_request_obj, context)
        # From here on a kill deletes it, made or not.
        self.mine = self.pod = found or pod_request_obj
        try:
            made = found or self._made(pod_request_obj)
            if job_of(made):
                make_service(self.client, made)
            if made.status.phase == "Pending":
                make_secret(self.client, made, self._connections)
        except AirflowException:
            self.mine = self.pod = None
            raise
        self.take(made.metadata.name, made.metadata.namespace, job_of(made))
        remember(context, Memory(made.metadata.name, made.metadata.namespace, job_of(made), self._changes))
        return made

    def _made(self, asked: k8s.V1Pod) -> k8s.V1Pod:
        if job_of(asked):
            return make_job(self.client, asked, self._pod().workers, self.base_container_name)
        return make_pod(self.client, asked)

    def _of_an_earlier_try(self, asked: k8s.V1Pod, context: Context) -> k8s.V1Pod | None:
        from airflow_mlops_provider.runners.kubernetes import CHANGES

        known = recall(context)
        found = pod_now(self.client, known.name, known.namespace or "") if known.name else None
        found = found or self.find_pod(asked.metadata.namespace, context)
        if found is not None:
            self.log.info("pod %s of an earlier try is there: %s", found.metadata.name, found.status.phase)
            self._change(json.loads((found.metadata.annotations or {}).get(CHANGES, "{}")))
        elif known.name:
            self.take(known.name, known.namespace or "", known.job)
            raise AirflowException(f"pod {known.name} of an earlier try is gone")
        return found

    # -- parts ----------------------------------------------------------------------------------------------------

    def _change(self, changes: dict[str, Any]) -> None:
        """Know what earlier pods taught, here and in the event that wakes the task again."""
        self._changes = changes
        self.trigger_kwargs = {**self.trigger_kwargs, _CHANGES: changes}

    def _inner(self) -> StepOperator:
        """Return the step's own operator: it builds the request, and knows what an outcome becomes."""
        own = {"pipeline": self.dag_id, "timezone": getattr(self.dag.timezone, "name", None), **self.spec}
        inner = operator_of(self.step)(task_id=self.task_id, notify=self.notify, notify_on=self.notify_on, **own)
        # It has no place in the DAG but this one's: a refusal skips what comes after.
        inner.get_flat_relatives = self.get_flat_relatives  # type: ignore[method-assign]
        return inner

    def _request(self, context: Context) -> Request:
        from airflow_mlops_provider.runners.bundle import ship

        request, pod = self._inner().request(context), self._pod()
        if pod.code == "bundle" and "code" not in self._changes:
            # Kept with what earlier pods taught: another pod of this try runs the same code.
            store = request.connections.get("lake_default")
            self._change({**self._changes, "code": ship(request.spec["lake"], request.spec["bundle"], store)})
        # The worker's own folder is not the pod's.
        return replace(request, spec={**request.spec, "bundle": pod.bundle})

    def _pod(self) -> Pod:
        return checked_pod(self.task_id, self.pod_spec)

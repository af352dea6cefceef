"""Operator that runs a step in a pod. Loaded only where pods are used: it imports Kubernetes' client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes import client as k8s

from airflow_mlops_provider.exceptions import ConfigError, InputError
from airflow_mlops_provider.operators.links import MlflowRunLink, ModelVersionLink
from airflow_mlops_provider.operators.steps import operator_of

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

    from airflow_mlops_provider.contracts.pod import Pod
    from airflow_mlops_provider.contracts.protocol import Outcome, Request
    from airflow_mlops_provider.operators.base import StepOperator
    from airflow_mlops_provider.runners.ending import End
    from airflow_mlops_provider.runners.pod_retry import Next

__all__ = ["KubernetesStepOperator"]

# In the trigger's event: what earlier pods of this try taught.
_CHANGES = "_mlops_changes"


class KubernetesStepOperator(KubernetesPodOperator):  # type: ignore[misc]  # untyped there
    """Run a step of this package in a pod; what the pod says becomes what the step's own operator makes of it.

    It is a KubernetesPodOperator, deferred while the pod runs: every argument of that operator works, and
    `pod_template_file` lies under `pod`. A pod that the cluster took away is replaced within the same try. A pod
    that ended without an outcome has failed, whatever its exit code.

    :param step: `train`, or another step of this package
    :param spec: arguments of that step's operator (templated)
    :param pod: image, devices, memory and the like: see `contracts.pod.Pod` (templated)
    :param gpu_classes: classes that `pod["gpu"]` may name; default: `[mlops] gpu_classes`
    :param notify: notifiers that are told what happened
    :param notify_on: of `refused`, `promoted`, `rolled_back` and `drift`, which; default: all
    """

    template_fields = (*KubernetesPodOperator.template_fields, "spec", "pod_spec")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **KubernetesPodOperator.template_fields_renderers,
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
        log_pod_spec_on_failure: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, log_pod_spec_on_failure=log_pod_spec_on_failure, **kwargs)
        self.step = step
        self.spec = dict(spec)
        self.pod_spec = dict(pod)
        self.gpu_classes = gpu_classes
        self.notify = notify
        self.notify_on = notify_on
        self.links: dict[str, str] = {}
        self.trigger_kwargs: dict[str, Any] = dict(self.trigger_kwargs or {})
        self._last: dict[str, Any] | None = None
        self._changes: dict[str, Any] = {}

    # -- from Airflow: two entries, one way out -------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Start the pod, or find the one that an earlier try started; see the class for what its end becomes."""
        return self._run(context, lambda: super(KubernetesStepOperator, self).execute(context))

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> Any:
        """Read the end of the pod that the trigger has seen end."""
        self._changes = dict(event.get(_CHANGES) or {})
        self._name = str(event["name"])
        return self._run(context, lambda: super(KubernetesStepOperator, self).trigger_reentry(context, event))

    def _run(self, context: Context, follow: Callable[[], Any]) -> Any:
        self._last, failure = None, None
        try:
            follow()
        except AirflowFailException:
            raise
        except AirflowException as exc:
            # Of a pod that failed; why it did, the pod says itself.
            failure = exc
        found = self._next()
        if found.action == "outcome" and found.outcome is not None:
            return self._mapped(found.outcome, context)
        if found.action != "again":
            kind = AirflowFailException if found.action == "failed" else AirflowException
            raise kind(f"{self.step}: {found.reason}") from failure
        self.log.warning("%s", found.reason)
        self._changes = dict(found.changes or {})
        self.trigger_kwargs = {**self.trigger_kwargs, _CHANGES: self._changes}
        self.pod = self.pod_request_obj = None
        return self.execute(context)

    def _next(self) -> Next:
        from dataclasses import replace

        from airflow_mlops_provider.runners.ending import End, end_of
        from airflow_mlops_provider.runners.pod_retry import next_of

        end = end_of(self._last) if self._last else End("node_lost", "the pod is gone")
        if end.outcome is None:
            end = replace(end, outcome=self._kept(end))
        return next_of(end, self._pod(), self._changes, self._classes())

    def _mapped(self, outcome: Outcome, context: Context) -> Any:
        inner = self._inner()
        if outcome.status == "failed":
            inner.fail(outcome)
        result = outcome.result or {}
        self.links = inner.made(result)
        value = inner.rejected(result, context) if outcome.status == "rejected" else inner.succeeded(result, context)
        # By hand: without a sidecar KubernetesPodOperator's `do_xcom_push` is off, which silences Airflow's own push.
        context["ti"].xcom_push("return_value", value)
        return value

    def _kept(self, end: End) -> Outcome | None:
        """Return what the pod wrote to the lake, where no pod or no whole termination message tells."""
        from airflow_mlops_provider.contracts.protocol import Outcome, decode
        from airflow_mlops_provider.hooks.lake import LakeHook
        from airflow_mlops_provider.runners.pod import outcome_path

        lake = LakeHook(self.spec.get("lake_conn_id", "lake_default"), self.spec.get("lake")).get_conn()
        content = lake.get(f"{lake.root}/{end.path or outcome_path(self._name)}")
        found = decode(content.decode()) if content else None
        return found if isinstance(found, Outcome) else None

    # -- what KubernetesPodOperator leaves to a subclass ----------------------------------------------------------

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """Return the pod: KubernetesPodOperator's own, and the typed spec over it."""
        from airflow_mlops_provider.runners.kubernetes import manifest
        from airflow_mlops_provider.runners.pod_retry import with_changes

        base = super().build_pod_request_obj(context, dry_run=dry_run)
        if context is None:
            raise ConfigError("a step's pod is built from a task's context; `airflow-mlops plan --manifest` shows it")
        try:
            request = self._request(context)
            secret = base.metadata.name if request.connections else None
            pod = with_changes(self._pod(), self._changes)
            typed = manifest(pod, request, name=base.metadata.name, gpu_classes=self._classes(), secret=secret)
        except InputError as exc:
            raise AirflowFailException(str(exc)) from exc
        self._connections = request.connections
        found = PodGenerator.reconcile_pods(base, PodGenerator.deserialize_model_dict(typed))
        self._name = str(found.metadata.name)
        return found

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """Return the pod of an earlier try, also one that has ended: its outcome is read, no work is done twice."""
        if self.durable and not self._changes:
            found = self._get_pod_from_task_state_store(context)
            found = found or self.find_pod(pod_request_obj.metadata.namespace, context=context)
            if found is not None:
                self._name = found.metadata.name
                return found
        self._make_secret(pod_request_obj)
        made = self.pod_manager.create_pod(pod=pod_request_obj)
        self._own_secret(made)
        if self.durable:
            self._persist_pod_identity_to_task_state_store(context, made)
        return made

    def cleanup(
        self,
        pod: k8s.V1Pod,
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        """Keep how the pod ended: after this it may be deleted."""
        if remote_pod is not None:
            self._last = k8s.ApiClient().sanitize_for_serialization(remote_pod)
        super().cleanup(pod, remote_pod, xcom_result, context)

    def defer(self, *, trigger: Any, method_name: str, **kwargs: Any) -> None:
        """Wait with the trigger whose event comes late enough for Airflow."""
        from airflow_mlops_provider.triggers.kubernetes import StepPodTrigger

        super().defer(trigger=StepPodTrigger(**trigger.serialize()[1]), method_name=method_name, **kwargs)

    # -- parts ----------------------------------------------------------------------------------------------------

    def _inner(self) -> StepOperator:
        """Return the step's own operator: it builds the request, and knows what an outcome becomes."""
        own = {"pipeline": self.dag_id, "timezone": getattr(self.dag.timezone, "name", None), **self.spec}
        return operator_of(self.step)(task_id=self.task_id, notify=self.notify, notify_on=self.notify_on, **own)

    def _request(self, context: Context) -> Request:
        from dataclasses import replace

        request = self._inner().request(context)
        # The worker's own folder is not the pod's.
        return replace(request, spec={**request.spec, "bundle": self._pod().bundle})

    def _pod(self) -> Pod:
        from pydantic import ValidationError

        from airflow_mlops_provider.contracts.pod import Pod

        try:
            return Pod.model_validate(self.pod_spec)
        except ValidationError as exc:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            raise AirflowFailException(f"{self.task_id}: pod: {faults}") from None

    def _classes(self) -> dict[str, Any]:
        from airflow.sdk import conf

        from airflow_mlops_provider.contracts.pod import GpuClass

        given = self.gpu_classes
        if given is None:
            given = json.loads(conf.get("mlops", "gpu_classes", fallback="") or "{}")
        return {name: GpuClass.model_validate(found) for name, found in given.items()}

    def _make_secret(self, pod: k8s.V1Pod) -> None:
        """Put the connections into a Secret of this try: never into the pod's spec."""
        from airflow_mlops_provider.runners.kubernetes import CONNECTIONS

        if not self._connections:
            return
        meta = k8s.V1ObjectMeta(name=pod.metadata.name, namespace=pod.metadata.namespace, labels=pod.metadata.labels)
        content = {CONNECTIONS: json.dumps(self._connections)}
        self.client.create_namespaced_secret(
            pod.metadata.namespace, k8s.V1Secret(metadata=meta, string_data=content, type="Opaque")
        )

    def _own_secret(self, pod: k8s.V1Pod) -> None:
        """Make the pod the Secret's owner: it goes with the pod."""
        if not self._connections:
            return
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}
        body = {"metadata": {"ownerReferences": [owner]}}
        self.client.patch_namespaced_secret(pod.metadata.name, pod.metadata.namespace, body)

"""From a plan's tasks to the public operators, in a DAG or in a group of one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk import Asset

from airflow_mlops_provider.factory.classes import class_of, notifier_of
from airflow_mlops_provider.factory.placing import skipped_if_refused
from airflow_mlops_provider.factory.plan_data import RESULT, DagPlan, PipelinePlan, TaskPlan
from airflow_mlops_provider.operators.notify import FailureCallback

if TYPE_CHECKING:
    from airflow.sdk import TaskGroup

__all__ = ["add_tasks", "documented"]


def add_tasks(pipeline: PipelinePlan, dag_plan: DagPlan, group: TaskGroup, folder: str = "") -> None:
    """Add a section's tasks to a group (a DAG's root is one), in whose context this is called.

    `folder`, below the DAG bundle, is what the plan's paths and functions are relative to. Raises BuildError where
    Airflow finds one of the file's `tasks` or its notifier wrong.
    """
    _check_free([task for task in dag_plan.tasks if task.free], folder)
    built: dict[str, Any] = {}
    for task in dag_plan.tasks:
        built[task.task_id] = _task(pipeline, dag_plan, task, built, group, folder)
        for upstream in task.upstream:
            built[upstream] >> built[task.task_id]


def _check_free(tasks: list[TaskPlan], folder: str) -> None:
    if tasks:
        # Here and not above: a task's process whose DAG has none needs nothing of it.
        from airflow_mlops_provider.factory.free_build import check_operators

        check_operators(tasks, folder)


def _task(
    pipeline: PipelinePlan, dag_plan: DagPlan, task: TaskPlan, built: dict[str, Any], group: TaskGroup, folder: str
) -> Any:  # an operator
    if task.free:
        from airflow_mlops_provider.factory.free_build import free_operator

        return free_operator(task, _options(pipeline, task, folder), folder)
    arguments = {key: _resolved(value, built) for key, value in task.arguments.items()}
    if task.task_id == "approval":
        arguments = _approval(pipeline, task.arguments, built)
    if task.task_id == "ask":
        arguments = _ask(pipeline, task.arguments)
    if task.task_id == "evaluate":
        arguments["skip_if_refused"] = [_id_in(group, name) for name in skipped_if_refused(dag_plan)]
    if task.step is not None:
        arguments |= {"pipeline": pipeline.pipeline, "lake": pipeline.lake, "timezone": pipeline.timezone}
        told = {"notify": _notifiers(pipeline, folder), "notify_on": _events(pipeline)}
        if isinstance(task.runs_on, dict) and "kubernetes" in task.runs_on:
            arguments = {"step": task.step, "spec": _said(arguments), "pod": task.runs_on["kubernetes"], **told}
        else:
            arguments |= {"bundle": folder} if folder else {}
            arguments |= {"runs_on": task.runs_on, **told}
    return class_of(task.operator)(task_id=task.task_id, **_options(pipeline, task, folder), **arguments)


def _said(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def _options(pipeline: PipelinePlan, task: TaskPlan, folder: str) -> dict[str, Any]:
    """Return what every operator of Airflow takes; what nobody said is left to Airflow."""
    notifiers = _notifiers(pipeline, folder) if "failed" in _events(pipeline) else []
    options = {
        "retries": task.retries,
        "retry_delay": _seconds(task.retry_delay_s),
        "execution_timeout": _seconds(task.execution_timeout_s),
        "pool": task.pool,
        "inlets": [Asset(uri=uri) for uri in task.inlets],
        "outlets": [Asset(uri=uri) for uri in task.outlets],
        "doc_md": documented(task.doc),
        "on_failure_callback": [FailureCallback(notifier, pipeline.pipeline) for notifier in notifiers],
    }
    return {key: value for key, value in options.items() if value not in (None, [])}


def _notifiers(pipeline: PipelinePlan, folder: str) -> list[Any]:  # notifiers of Airflow
    notify = pipeline.notify
    if notify is None:
        return []
    return [notifier_of(notify.notifier, notify.arguments, folder)]


def _events(pipeline: PipelinePlan) -> tuple[str, ...]:
    return pipeline.notify.on if pipeline.notify else ()


def _resolved(value: Any, built: dict[str, Any]) -> Any:  # JSON, with references to operators of this DAG
    """Return a value with `{"$result": "train"}` as the task's XCom, and a field of it as a template."""
    if isinstance(value, list):
        return [_resolved(item, built) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {RESULT}:
        return {key: _resolved(item, built) for key, item in value.items()}
    task_id, _, field = value[RESULT].partition(".")
    return _pulled(built[task_id], field) if field else built[task_id].output


def _id_in(group: TaskGroup, task_id: str) -> str:
    return str(group.child_id(task_id))  # type: ignore[no-untyped-call]  # Airflow's own


def _pulled(task: Any, field: str) -> str:  # an operator, whose id a group may have made longer
    # Not `output[field]`: that is the XCom of that key, which nobody pushes.
    return f"{{{{ ti.xcom_pull(task_ids={task.task_id!r})[{field!r}] }}}}"


def _approval(pipeline: PipelinePlan, arguments: dict[str, Any], built: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of Airflow's ApprovalOperator: silence counts as a no, and the verdict is shown."""
    return {
        "subject": f"Promote {pipeline.model} version {_pulled(built['register'], 'version')}?",
        "body": _pulled(built["evaluate"], "reason"),
        **_silence_is_a_no(arguments),
    }


def _ask(pipeline: PipelinePlan, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the ApprovalOperator before a training: the decision's reason is shown."""
    reason = "(dag_run.conf or {}).get('decision', {}).get('reason', 'started by a person')"
    return {
        "subject": f"Train {pipeline.model} for {{{{ run_id }}}}?",
        "body": f"{{{{ {reason} }}}}",
        **_silence_is_a_no(arguments),
    }


def _silence_is_a_no(arguments: dict[str, Any]) -> dict[str, Any]:
    people = [{"id": name, "name": name} for name in arguments.get("approvers", ())]
    return {
        "defaults": "Reject",
        "response_timeout": timedelta(seconds=arguments["timeout_s"]),
        **({"assigned_users": people} if people else {}),
    }


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def documented(fragment: str) -> str | None:
    """Return a fragment of the file as Markdown, None for an empty one."""
    return f"```yaml\n{fragment}```" if fragment else None

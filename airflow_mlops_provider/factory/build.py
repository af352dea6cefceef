"""From a plan to Airflow's DAGs, through the public operators only. What `plan` prints is what runs here.

The loader beside `flights.yaml` is `flights.py`, with two lines:

    from airflow_mlops_provider.factory.build import build_dags
    globals().update(build_dags(__file__))
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow_mlops_provider.hooks import require_airflow

require_airflow()

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, conf, get_parsing_context  # noqa: E402
from pendulum import timezone as pendulum_timezone  # noqa: E402

from airflow_mlops_provider.exceptions import ConfigError  # noqa: E402
from airflow_mlops_provider.factory.config import FactoryConfig  # noqa: E402
from airflow_mlops_provider.factory.plan import (  # noqa: E402
    RESULT,
    DagPlan,
    PipelinePlan,
    SchedulePlan,
    TaskPlan,
    plan,
)
from airflow_mlops_provider.operators.bundle import bundle_of  # noqa: E402
from airflow_mlops_provider.operators.notify import FailureCallback  # noqa: E402

__all__ = ["build_dag", "build_dags"]


def build_dags(loader: str, *, bundle: str | Path | None = None) -> dict[str, DAG]:
    """Return the DAGs of the pipeline file beside a loader, by id: `flights.yaml` beside `flights.py`.

    In a task's process only the task's own DAG is built. `bundle` is the folder that the file's paths are
    relative to; default: the DAG bundle. Raises ConfigError where there is no such file, PipelineFileError with
    every error of the file, each with its line.
    """
    path = Path(loader)
    files = [found for ending in (".yaml", ".yml") if (found := path.with_suffix(ending)).is_file()]
    if not files:
        raise ConfigError(f"{path.name}: no {path.stem}.yaml beside it")
    read = plan(files[0], bundle=bundle or bundle_of(path), config=_config())
    wanted = get_parsing_context().dag_id
    return {dag.dag_id: build_dag(read, dag, loader) for dag in read.dags if wanted in (None, dag.dag_id)}


def build_dag(pipeline: PipelinePlan, dag_plan: DagPlan, loader: str) -> DAG:
    """Return one DAG of a plan; `loader` is the file in which Airflow finds it again."""
    dag = DAG(
        dag_id=dag_plan.dag_id,
        schedule=_schedule(dag_plan.schedule),
        start_date=_day(dag_plan.schedule.start, dag_plan.schedule.timezone),
        catchup=False,
        max_active_runs=dag_plan.max_active_runs,
        default_args={"owner": dag_plan.owner},
        tags=list(dag_plan.tags),
        doc_md=_doc(dag_plan.doc),
    )
    dag.fileloc = loader
    built: dict[str, Any] = {}
    with dag:
        for task in dag_plan.tasks:
            built[task.task_id] = _task(pipeline, dag_plan, task, built)
            for upstream in task.upstream:
                built[upstream] >> built[task.task_id]
    return dag


def _config() -> FactoryConfig:
    return FactoryConfig.of(
        {field.name: conf.get("mlops", field.name, fallback=None) for field in fields(FactoryConfig)}
    )


def _schedule(schedule: SchedulePlan) -> Any:  # what DAG(schedule=) takes
    if schedule.kind == "none":
        return None
    if schedule.kind == "interval":
        # Here and not above: a task's process of another DAG needs none of Airflow's core.
        from airflow_mlops_provider.factory.timetable import BatchTimetable

        zone = schedule.timezone
        return BatchTimetable(str(schedule.cron), zone, _day(schedule.start, zone), _day(schedule.end, zone))
    assets = [Asset(uri=uri) for uri in schedule.assets]
    if schedule.reconcile is None:
        return assets
    return AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(schedule.reconcile, timezone=schedule.timezone), assets=assets
    )


def _day(day: str | None, zone: str) -> datetime | None:
    return None if day is None else datetime.fromisoformat(day).replace(tzinfo=pendulum_timezone(zone))


def _task(pipeline: PipelinePlan, dag_plan: DagPlan, task: TaskPlan, built: dict[str, Any]) -> Any:  # an operator
    arguments = {key: _resolved(value, built) for key, value in task.arguments.items()}
    if task.task_id == "approval":
        arguments = _approval(pipeline, task.arguments)
    if task.task_id == "evaluate":
        names = [other.task_id for other in dag_plan.tasks if other.task_id in ("approval", "promote")]
        arguments["skip_if_refused"] = names
    if task.step is not None:
        arguments |= {"pipeline": pipeline.pipeline, "lake": pipeline.lake, "timezone": pipeline.timezone}
        arguments |= {"runs_on": task.runs_on, "notify": _notifiers(pipeline), "notify_on": _events(pipeline)}
    return _imported(task.operator)(task_id=task.task_id, **_options(pipeline, task), **arguments)


def _options(pipeline: PipelinePlan, task: TaskPlan) -> dict[str, Any]:
    """Return what every operator of Airflow takes; what nobody said is left to Airflow."""
    notifiers = _notifiers(pipeline) if "failed" in _events(pipeline) else []
    options = {
        "retries": task.retries,
        "retry_delay": _seconds(task.retry_delay_s),
        "execution_timeout": _seconds(task.execution_timeout_s),
        "pool": task.pool,
        "inlets": [Asset(uri=uri) for uri in task.inlets],
        "outlets": [Asset(uri=uri) for uri in task.outlets],
        "doc_md": _doc(task.doc),
        "on_failure_callback": [FailureCallback(notifier, pipeline.pipeline) for notifier in notifiers],
    }
    return {key: value for key, value in options.items() if value}


def _notifiers(pipeline: PipelinePlan) -> list[Any]:  # notifiers of Airflow
    notify = pipeline.notify
    return [] if notify is None else [_imported(notify.notifier)(**notify.arguments)]


def _events(pipeline: PipelinePlan) -> tuple[str, ...]:
    return pipeline.notify.on if pipeline.notify else ()


def _imported(dotted: str) -> Any:  # a class, by the name that the plan has checked
    module, _, name = dotted.rpartition(".")
    return getattr(import_module(module), name)


def _resolved(value: Any, built: dict[str, Any]) -> Any:  # JSON, with references to operators of this DAG
    """Return a value with `{"$result": "train"}` as the task's XCom, and a field of it as a template."""
    if isinstance(value, list):
        return [_resolved(item, built) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {RESULT}:
        return {key: _resolved(item, built) for key, item in value.items()}
    task_id, _, field = value[RESULT].partition(".")
    return _pulled(task_id, field) if field else built[task_id].output


def _pulled(task_id: str, field: str) -> str:
    # Not `output[field]`: that is the XCom of that key, which nobody pushes.
    return f"{{{{ ti.xcom_pull(task_ids='{task_id}')['{field}'] }}}}"


def _approval(pipeline: PipelinePlan, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of Airflow's ApprovalOperator: silence counts as a no, and the verdict is shown."""
    people = [{"id": name, "name": name} for name in arguments["approvers"]]
    return {
        "subject": f"Promote {pipeline.model} version {_pulled('register', 'version')}?",
        "body": _pulled("evaluate", "reason"),
        "defaults": "Reject",
        "response_timeout": timedelta(seconds=arguments["timeout_s"]),
        "assigned_users": people,
    }


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _doc(fragment: str) -> str | None:
    return f"```yaml\n{fragment}```" if fragment else None

"""From a plan to Airflow's DAGs, through the public operators only. What `plan` prints is what runs here.

The loader beside `flights.yaml` is `flights.py`, with two lines:

    from airflow_mlops_provider.factory.build import build_dags
    globals().update(build_dags(__file__))
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.hooks import require_airflow

require_airflow()

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, conf, get_parsing_context  # noqa: E402
from pendulum import timezone as pendulum_timezone  # noqa: E402

from airflow_mlops_provider.exceptions import ConfigError  # noqa: E402
from airflow_mlops_provider.factory.config import FactoryConfig  # noqa: E402
from airflow_mlops_provider.factory.plan import DagPlan, PipelinePlan, SchedulePlan, plan  # noqa: E402
from airflow_mlops_provider.factory.tasks import add_tasks, documented  # noqa: E402
from airflow_mlops_provider.operators.bundle import bundle_of, folder_below  # noqa: E402

__all__ = ["airflow_config", "build_dag", "build_dags"]


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
    read = plan(files[0], bundle=bundle or bundle_of(path), config=airflow_config())
    folder = folder_below(bundle, path)
    wanted = get_parsing_context().dag_id
    return {dag.dag_id: build_dag(read, dag, loader, folder) for dag in read.dags if wanted in (None, dag.dag_id)}


def build_dag(pipeline: PipelinePlan, dag_plan: DagPlan, loader: str, folder: str = "") -> DAG:
    """Return one DAG of a plan; `loader` is the file in which Airflow finds it again.

    `folder`, below the DAG bundle, is what the plan's paths and functions are relative to.
    """
    dag = DAG(
        dag_id=dag_plan.dag_id,
        schedule=_schedule(dag_plan.schedule),
        start_date=_day(dag_plan.schedule.start, dag_plan.schedule.timezone),
        catchup=False,
        max_active_runs=dag_plan.max_active_runs,
        default_args={"owner": dag_plan.owner},
        tags=list(dag_plan.tags),
        doc_md=documented(dag_plan.doc),
    )
    dag.fileloc = loader
    with dag:
        add_tasks(pipeline, dag_plan, dag.task_group, folder)
    return dag


def airflow_config() -> FactoryConfig:
    """Return `[mlops]` of airflow.cfg."""
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

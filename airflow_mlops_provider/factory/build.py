"""From a plan to Airflow's DAGs, through the public operators only. What `plan` prints is what runs here.

The loader beside `flights.yaml` is `flights.py`, with two lines:

    from airflow_mlops_provider.factory.build import build_dags
    globals().update(build_dags(__file__))
"""

from __future__ import annotations

import os
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, conf, get_parsing_context
from pendulum import timezone as pendulum_timezone

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.cache import kept_plan
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, SchedulePlan
from airflow_mlops_provider.factory.tasks import add_tasks, documented
from airflow_mlops_provider.operators.bundle import bundle_of, folder_below

__all__ = ["airflow_config", "build_dag", "build_dags", "planned_file"]


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
    read = planned_file(files[0], bundle)
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


def planned_file(path: Path, bundle: str | Path | None = None) -> PipelinePlan:
    """Return the plan of a pipeline file under `[mlops]` of airflow.cfg; plans are kept below AIRFLOW_HOME.

    `bundle` is the folder that its paths are relative to; default: the DAG bundle that holds it.
    Raises PipelineFileError with every error of the file.
    """
    home = Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow"))).expanduser()
    root = Path(bundle or bundle_of(path))
    return kept_plan(path, bundle=root, config=airflow_config(), folder=home / ".mlops_plans")


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

"""From a plan to Airflow's DAGs, through the public operators only. What `plan` prints is what runs here.

The loader beside `flights.yaml` is `flights.py`, with two lines:

    from airflow_mlops_provider.factory.build import build_dags
    globals().update(build_dags(__file__))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable, conf, get_parsing_context
from pendulum import timezone as pendulum_timezone

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.cache import kept, kept_plans
from airflow_mlops_provider.factory.classes import lines_told
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.files import Files, content
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, SchedulePlan
from airflow_mlops_provider.factory.tasks import add_tasks, documented
from airflow_mlops_provider.operators.bundle import bundle_of, folder_below

if TYPE_CHECKING:
    from airflow_mlops_provider.factory.load import Document

__all__ = [
    "airflow_config",
    "build_dag",
    "build_dags",
    "dags_of_plans",
    "file_dags",
    "file_document",
    "kept_here",
    "planned_file",
]


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
    return file_dags(files[0], loader, bundle=bundle, folder=folder_below(bundle, path))


def file_dags(file: Path, loader: str, *, bundle: str | Path | None = None, folder: str = "") -> dict[str, DAG]:
    """Return the DAGs of one pipeline file, by id, in a task's process its own alone; the rest as `build_dag`."""
    wanted = get_parsing_context().dag_id
    plans = planned_file(file, bundle, dag_id=wanted)
    return dags_of_plans(plans, loader, folder, lambda pipeline: file_document(file, bundle, pipeline))


def dags_of_plans(
    plans: Iterable[PipelinePlan], loader: str, folder: str, document: Callable[[str], Document]
) -> dict[str, DAG]:
    """Return the DAGs of plans, by id, in a task's process its own alone.

    `document` returns the document of a pipeline's name: where only Airflow finds a fault, it is read again for its
    lines.
    """
    wanted = get_parsing_context().dag_id
    found: dict[str, DAG] = {}
    for plan in plans:
        with lines_told(document, plan.pipeline):
            dags = [dag for dag in plan.dags if wanted in (None, dag.dag_id)]
            found |= {dag.dag_id: build_dag(plan, dag, loader, folder) for dag in dags}
    return found


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
        deadline=_deadline(pipeline, dag_plan, folder),
    )
    dag.fileloc = loader
    with dag:
        add_tasks(pipeline, dag_plan, dag.task_group, folder)
    return dag


def planned_file(path: Path, bundle: str | Path | None = None, *, dag_id: str | None = None) -> list[PipelinePlan]:
    """Return the plans of a pipeline file under `[mlops]` of airflow.cfg; they are kept below AIRFLOW_HOME.

    `bundle` is the folder that its paths are relative to; default: the DAG bundle that holds it. Of the pipelines that
    a matrix makes, only the one of `dag_id` is looked at. Raises PipelineFileError with every error of the file.
    """
    root = Path(bundle or bundle_of(path))
    return kept_plans(path, bundle=root, config=airflow_config(), folder=_plans_folder(), only=_pipeline_of(dag_id))


def file_document(path: Path, bundle: str | Path | None, pipeline: str) -> Document:
    """Return a pipeline of a sound file as it stands there, with its lines."""
    # Here and not above: a kept plan has no lines, and needs none of this.
    from airflow_mlops_provider.factory.check import read

    files = Files(Path(bundle or bundle_of(path)))
    found = read(content(path), files.name(path), files=files, config=airflow_config(), only=pipeline)
    return found[0][0]


def kept_here(
    raw: bytes,
    what: list[str],
    files: Files,
    made: Callable[[FactoryConfig, str | None], list[PipelinePlan]],
) -> list[PipelinePlan]:
    """Return what `made` returns for `[mlops]` of airflow.cfg and the pipeline that is wanted; see `cache.kept`."""
    config, only = airflow_config(), _pipeline_of(get_parsing_context().dag_id)
    return kept(
        raw,
        [*what, config.environment],
        lambda: made(config, only),
        files=files,
        config=config,
        folder=_plans_folder(),
        only=only,
    )


def _plans_folder() -> Path:
    home = Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow"))).expanduser()
    return home / ".mlops_plans"


def _pipeline_of(dag_id: str | None) -> str | None:
    """Return the pipeline that a DAG's id begins with: no name of a pipeline has a hyphen."""
    return dag_id and dag_id.partition("-")[0]


def airflow_config() -> FactoryConfig:
    """Return `[mlops]` of airflow.cfg."""
    return FactoryConfig.of(
        {field.name: conf.get("mlops", field.name, fallback=None) for field in fields(FactoryConfig)}
    )


def _deadline(pipeline: PipelinePlan, dag_plan: DagPlan, folder: str) -> Any:  # what DAG(deadline=) takes
    if dag_plan.deadline_s is None:
        return None
    # Here and not above: a task's process whose DAG has none needs nothing of it.
    from airflow_mlops_provider.factory.deadline import deadline_of

    return deadline_of(pipeline, dag_plan, folder)


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

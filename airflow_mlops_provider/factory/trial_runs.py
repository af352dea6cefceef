"""Which DAG runs a trial makes, in which order, and what of a pipeline cannot be tried. No Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.cron import batches
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, TaskPlan

__all__ = ["TrialRun", "check_runnable", "people", "runs_of"]

# So far back a schedule without a start is looked through for batches that are over.
_BACK = (timedelta(days=3), timedelta(days=100), timedelta(days=3000))
_PEOPLE = ("approval", "ask")


@dataclass(frozen=True, slots=True)
class TrialRun:
    """One DAG run: `batch` and `logical_date` (ISO) of the data section's, `note` is what a person should know."""

    dag_id: str
    section: str
    batch: str | None = None
    logical_date: str | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def check_runnable(planned: PipelinePlan, bundle: Path) -> None:
    """Raise ConfigError with all that keeps a pipeline from being tried: pods, data from elsewhere, outside stores."""
    reasons = list(_hindrances(planned, bundle))
    if reasons:
        raise ConfigError("\n".join(f"{planned.file} cannot be tried here: {reason}" for reason in reasons))


def _hindrances(planned: PipelinePlan, bundle: Path) -> Iterator[str]:
    data = _section(planned, "data")
    if data is None:
        yield "it has no data of its own, and a trial begins with an empty lake"
    elif data.schedule.cron is None:
        yield f"its batches are those of whoever emits {', '.join(data.schedule.assets)}"
    for dag in planned.dags:
        for task in dag.tasks:
            if isinstance(task.runs_on, dict) and "kubernetes" in task.runs_on:
                yield f"{dag.section}.{task.task_id} runs in a pod; --environment may name one where it does not"
            if task.task_id == "materialize":
                yield from _outside(task, bundle)
            if task.task_id == "transform":
                yield from _built_elsewhere(task, bundle)


def _outside(task: TaskPlan, bundle: Path) -> Iterator[str]:
    """Yield that features would go to a store that is in use: only the lake's own folder is the trial's."""
    file = bundle / task.arguments["feature_repo"] / "feature_store.yaml"
    said = _said(file)
    for key in ("registry", "online_store"):
        if said.get(key) is not None and "MLOPS_LAKE" not in str(said[key]):
            yield f"{key} of {file.relative_to(bundle)} lies outside the lake, and a trial would write into it"


def _built_elsewhere(task: TaskPlan, bundle: Path) -> Iterator[str]:
    """Yield that dbt could build in a database that is in use: only MLOPS_WAREHOUSE is the trial's."""
    file = bundle / task.arguments["project_dir"] / "profiles.yml"
    for profile in _said(file).values():
        outputs = profile.get("outputs") if isinstance(profile, dict) else None
        for name, output in outputs.items() if isinstance(outputs, dict) else ():
            path, attached = (output.get(key) if isinstance(output, dict) else None for key in ("path", "attach"))
            if "MLOPS_WAREHOUSE" not in str(path) or attached:
                place = file.relative_to(bundle)
                yield f"target {name!r} of {place} is not MLOPS_WAREHOUSE alone, and a trial would write into it"


def _said(file: Path) -> dict[str, Any]:
    """Return what another tool's settings say. Raises ConfigError where they are no mapping."""
    # A variable in braces, which the tool fills in before it reads, would be a mapping of YAML's.
    text = re.sub(r"\$\{(\w+)\}", r"$\1", file.read_text(encoding="utf-8")) if file.is_file() else "{}"
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"{file}: {exc}") from exc
    if not isinstance(said, dict):
        raise ConfigError(f"{file}: a mapping of keys is wanted")
    return said


def runs_of(planned: PipelinePlan, bundle: Path) -> list[TrialRun]:
    """Return the runs: data until the first training is due, training, one more batch of data, scoring, monitoring.

    Raises ConfigError if no batch is over yet.
    """
    data, trained = _section(planned, "data"), _section(planned, "training")
    if data is None:
        return []
    wanted = _first_after(planned) if trained else 1
    found = list(islice(_batches(data, bundle), wanted + 1))
    if not found:
        raise ConfigError(f"{planned.file} cannot be tried here: no batch since data.start is over yet")
    runs = [_of_batch(data, batch) for batch in found[:wanted]]
    few = f"{len(found)} batches of the {wanted} that first_after asks for" if len(found) < wanted else ""
    runs += [TrialRun(trained.dag_id, "training", note=few)] if trained else []
    runs += [_of_batch(data, batch) for batch in found[wanted:]]
    seen = trained is not None and len(found) <= wanted
    none = f"no batch after {found[-1].id}: no data that the model has not seen" if seen else ""
    rest = (_section(planned, name) for name in ("scoring", "monitoring"))
    return [*runs, *(TrialRun(dag.dag_id, dag.section, note=none) for dag in rest if dag)]


def people(dag: DagPlan) -> list[str]:
    """Return the tasks that wait for people."""
    return [task.task_id for task in dag.tasks if task.task_id in _PEOPLE]


def _section(planned: PipelinePlan, name: str) -> DagPlan | None:
    return next((dag for dag in planned.dags if dag.section == name), None)


def _first_after(planned: PipelinePlan) -> int:
    """Return the labelled batches that the governor waits for."""
    decides = (task for dag in planned.dags for task in dag.tasks if task.task_id == "decide")
    return next((int(task.arguments["retrain"].get("first_after", 1)) for task in decides), 1)


def _of_batch(data: DagPlan, batch: Batch) -> TrialRun:
    return TrialRun(data.dag_id, "data", batch.id, batch.start.isoformat())


def _batches(data: DagPlan, bundle: Path) -> Iterator[Batch]:
    """Yield the batches that are over, lie in the section's bounds and, but for the first, have files."""
    schedule, now = data.schedule, datetime.now(UTC)
    last = datetime.fromisoformat(schedule.end) if schedule.end else None
    for number, batch in enumerate(_scheduled(data, now)):
        beyond = last is not None and batch.end.replace(tzinfo=None) > last
        if batch.end > now or beyond or (number and not _has_files(data, bundle, batch)):
            return
        yield batch


def _scheduled(data: DagPlan, now: datetime) -> Iterator[Batch]:
    """Yield the batches since the section's start; without one, the last few that are over."""
    schedule = data.schedule
    cron = str(schedule.cron)
    if schedule.start:
        yield from batches(cron, datetime.fromisoformat(schedule.start), schedule.timezone)
        return
    for back in _BACK:
        since = (now - back).replace(tzinfo=None, microsecond=0)
        over = [batch for batch in islice(batches(cron, since, schedule.timezone), 100) if batch.end <= now]
        if len(over) > 1:
            yield from over[-2:]
            return


def _has_files(data: DagPlan, bundle: Path, batch: Batch) -> bool:
    """Return whether each source of local files has one for a batch; what lies elsewhere is found out by the run."""
    ingest = next(task for task in data.tasks if task.task_id == "ingest")
    local = [
        source["files"]
        for source in ingest.arguments["datasets"].values()
        if "{batch}" in source.get("files", "") and "://" not in source["files"]
    ]
    return all(_matches(bundle.resolve() / files.replace("{batch}", batch.id)) for files in local)


def _matches(pattern: Path) -> bool:
    root = Path(pattern.anchor)
    try:
        return any(root.glob(str(pattern.relative_to(root))))
    except ValueError:
        return True  # a pattern of fsspec's own: the run finds out

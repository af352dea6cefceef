"""The plan as plain data: every DAG and task of a pipeline file, and where each value came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_mlops_provider.exceptions import ConfigError

__all__ = [
    "RESULT",
    "STEPLESS",
    "DagPlan",
    "NotifyPlan",
    "PipelinePlan",
    "Provenance",
    "SchedulePlan",
    "TaskPlan",
    "references",
]

# Tasks of this package's own that run no step: people are asked, a run is started.
STEPLESS = ("approval", "ask", "start_training")
# A mapping of this one key names another task's result; only this package writes it.
RESULT = "$result"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an argument came from: a line of the file (under an environment's overlay, maybe), or `source`."""

    source: str
    line: int | None = None
    environment: str | None = None

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where} ({self.environment})" if self.environment else where


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """`interval`: cron or preset with start and end (ISO days of `timezone`); `assets`: woken by any of them, and
    by `reconcile` (cron, wall clock); `none`: started by hand or by a decision."""

    kind: Literal["interval", "assets", "none"]
    timezone: str
    cron: str | None = None
    start: str | None = None
    end: str | None = None
    assets: tuple[str, ...] = ()
    reconcile: str | None = None


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task. `arguments` are the operator's keyword arguments as plain JSON.

    What the DAG knows (pipeline, lake, bundle, batch) is not among them. `{"$result": "train"}` stands for
    another task's result, `{"$result": "register.version"}` for a field of it. `step` is a name of the
    registry; None: a task of Airflow alone. `provenance` never enters a DAG: lines would make versions.
    """

    task_id: str
    operator: str
    step: str | None
    arguments: dict[str, Any]
    runs_on: str | dict[str, Any] = "local"
    retries: int | None = None
    retry_delay_s: float | None = None
    execution_timeout_s: float | None = None
    pool: str | None = None
    upstream: tuple[str, ...] = ()
    inlets: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()
    doc: str = ""
    provenance: dict[str, Provenance] = field(default_factory=dict, compare=False)

    @property
    def free(self) -> bool:
        """Whether it is one of the file's `tasks`, whose operator and arguments the user chose."""
        return self.step is None and self.task_id not in STEPLESS


@dataclass(frozen=True, slots=True)
class DagPlan:
    """One DAG; `section` is its key in the file, `tasks` are in an order in which they can run.

    A run must be done `deadline_s` after it was queued, or people are told.
    """

    dag_id: str
    section: str
    schedule: SchedulePlan
    tasks: tuple[TaskPlan, ...]
    owner: str
    tags: tuple[str, ...] = ()
    doc: str = ""
    max_active_runs: int = 1
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class NotifyPlan:
    """An Airflow notifier by its dotted name, its keyword arguments and the events it hears of."""

    notifier: str
    on: tuple[str, ...]
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """One file's plan under one environment. `file` is the file's name, `lake` None where nobody said one."""

    pipeline: str
    file: str
    environment: str | None
    timezone: str
    lake: str | None
    model: str
    alias: str
    dags: tuple[DagPlan, ...]
    notify: NotifyPlan | None = None

    def dag(self, dag_id: str) -> DagPlan:
        """Return a DAG by its id. Raises ConfigError if the pipeline has none of this id."""
        for dag in self.dags:
            if dag.dag_id == dag_id:
                return dag
        raise ConfigError(f"{self.file} makes no DAG {dag_id!r}; it makes {', '.join(d.dag_id for d in self.dags)}")

    def as_json(self, *, provenance: bool = False) -> dict[str, Any]:
        """Return plain JSON, the same for the same file; with `provenance`, with lines."""
        data: dict[str, Any] = json.loads(self.as_text(provenance=provenance))
        return data

    def as_text(self, *, provenance: bool = False) -> str:
        """Return `as_json` as one line of text."""
        # Not asdict(): it copies each value, which takes longer than planning.
        return json.dumps(self, default=_with_lines if provenance else _without_lines)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PipelinePlan:
        """Return the plan that `as_json` wrote; loads no contracts."""
        dags = tuple(_dag(dag) for dag in data["dags"])
        notify = NotifyPlan(**{**data["notify"], "on": tuple(data["notify"]["on"])}) if data["notify"] else None
        return cls(**{**data, "dags": dags, "notify": notify})


def references(value: Any) -> Iterator[str]:
    """Yield the `$result` references of arguments, `task` or `task.field`."""
    if isinstance(value, dict):
        if set(value) == {RESULT}:
            yield value[RESULT]
        else:
            for item in value.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def _with_lines(part: Any) -> dict[str, Any]:  # one of these dataclasses, which json.dumps asks about
    return {name: getattr(part, name) for name in part.__slots__}


def _without_lines(part: Any) -> dict[str, Any]:
    return {name: value for name, value in _with_lines(part).items() if name != "provenance"}


def _dag(data: dict[str, Any]) -> DagPlan:
    schedule = SchedulePlan(**{**data["schedule"], "assets": tuple(data["schedule"]["assets"])})
    tasks = tuple(_task(task) for task in data["tasks"])
    return DagPlan(**{**data, "schedule": schedule, "tasks": tasks, "tags": tuple(data["tags"])})


def _task(data: dict[str, Any]) -> TaskPlan:
    lists = {key: tuple(data[key]) for key in ("upstream", "inlets", "outlets")}
    provenance = {key: Provenance(**value) for key, value in data.get("provenance", {}).items()}
    return TaskPlan(**{**data, **lists, "provenance": provenance})

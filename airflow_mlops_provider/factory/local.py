"""Run a plan's tasks in this process, one after the other, without Airflow: what a notebook and pdb want."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.connections import connections_for
from airflow_mlops_provider.factory.cron import batch_of
from airflow_mlops_provider.factory.plan_data import RESULT, DagPlan, PipelinePlan, TaskPlan, references
from airflow_mlops_provider.factory.templates import rendered, run_fields
from airflow_mlops_provider.runners import runner_for
from airflow_mlops_provider.runners.base import request_for
from airflow_mlops_provider.steps.registry import step

__all__ = ["LocalRun", "TaskEnd"]


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended here; `detail` says why it failed or was skipped."""

    task_id: str
    run_id: str
    status: Literal["succeeded", "rejected", "failed", "skipped"]
    result: dict[str, Any] | None = None
    detail: str = ""
    trace: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether what comes after may run: a refused batch stops a run, a refused challenger does not."""
        return self.status in ("succeeded", "skipped") or (self.status == "rejected" and self.task_id == "evaluate")


@dataclass(frozen=True)
class LocalRun:
    """Runs tasks of one plan; results are kept as JSON in the lake (or below the bundle, where the lake is remote).

    `lake` and `bundle` are folders (`lake` an address, too). `say` takes a task's id and its messages.
    """

    plan: PipelinePlan
    bundle: Path
    lake: str
    say: Callable[[str, Message], None]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def of(cls, plan: PipelinePlan, bundle: Path, say: Callable[[str, Message], None]) -> LocalRun:
        """Return a run in the plan's lake; where it names none, `.mlops/lake` below the bundle."""
        lake = plan.lake or ".mlops/lake"
        root = bundle.resolve()
        return cls(plan, root, lake if "://" in lake else str(root / lake), say)

    def run(self, name: str, *, batch: str | None = None, run_id: str | None = None) -> Iterator[TaskEnd]:
        """Run a section (`data`, `training`, `scoring`, `monitoring`) or one task; yield each task's end as it comes.

        `batch` is the start of a batch of the data section, such as 2013-04-01; `run_id` names the run whose
        results a task reads (default: a new run, or for a task that needs others' results the newest that has
        them). Ends after the first task that does not let the next one run. Raises ConfigError if there is
        nothing of that name, or no batch or result where one is needed.
        """
        dag, tasks = self._chosen(name)
        when = self._batch(dag, batch)
        run_id = run_id or self._run_id(dag, tasks, when)
        for task in tasks:
            end = self._task(dag, task, run_id, when)
            self._keep(end)
            yield end
            if not end.good:
                return
            if task.task_id == "start_training" and end.status == "succeeded" and end.result:
                yield from self._started(end.result)

    def _chosen(self, name: str) -> tuple[DagPlan, tuple[TaskPlan, ...]]:
        for dag in self.plan.dags:
            if dag.section == name:
                return dag, dag.tasks
        for dag in self.plan.dags:
            for task in dag.tasks:
                if task.task_id == name and task.free:
                    raise ConfigError(f"{name} is an operator of Airflow ({task.operator}): it runs in Airflow only")
                if task.task_id == name:
                    return dag, (task,)
        sections = [dag.section for dag in self.plan.dags]
        tasks = [task.task_id for dag in self.plan.dags for task in dag.tasks]
        raise ConfigError(
            f"{self.plan.file} has no {name!r}; sections: {', '.join(sections)}; tasks: {', '.join(tasks)}"
        )

    def _batch(self, dag: DagPlan, given: str | None) -> Batch | None:
        schedule = dag.schedule
        if given is None:
            return None
        if schedule.kind != "interval" or schedule.cron is None:
            raise ConfigError(f"{dag.section} has no batches of its own: it works on all that is not done yet")
        batch = batch_of(schedule.cron, given, schedule.timezone)
        start, end = batch.start.date().isoformat(), batch.end.date().isoformat()
        if (schedule.start and start < schedule.start) or (schedule.end and end > schedule.end):
            raise ConfigError(f"batch {batch.id} is not in [{schedule.start or '-'}, {schedule.end or '-'})")
        return batch

    def _run_id(self, dag: DagPlan, tasks: tuple[TaskPlan, ...], batch: Batch | None) -> str:
        if batch is not None:
            return f"local__{batch.id}"
        own = {task.task_id for task in tasks}
        needed = {ref.partition(".")[0] for task in tasks for ref in references(task.arguments)} - own
        if not needed:
            return f"local__{dag.section}__{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%f')}"
        runs = [path for path in self._outcomes().glob("*") if all((path / f"{n}.json").is_file() for n in needed)]
        if not runs:
            raise ConfigError(f"no run has the results of {', '.join(sorted(needed))}: run them first")
        return max(runs, key=lambda path: max((path / f"{n}.json").stat().st_mtime_ns for n in needed)).name

    def _task(self, dag: DagPlan, task: TaskPlan, run_id: str, batch: Batch | None) -> TaskEnd:
        reason = self._skipped(dag, task, run_id)
        if reason:
            return TaskEnd(task.task_id, run_id, "skipped", detail=reason)
        fields = run_fields(run_id, batch.start if batch else None, batch.end if batch else None)
        arguments = rendered(self._resolved(task.arguments, run_id), fields)
        if task.step is None:
            return TaskEnd(task.task_id, run_id, "succeeded", result=arguments["decision"]["training"])
        return self._step(task, arguments, run_id, batch)

    def _step(self, task: TaskPlan, arguments: dict[str, Any], run_id: str, batch: Batch | None) -> TaskEnd:
        found = step(str(task.step))
        spec = {"pipeline": self.plan.pipeline, "lake": self.lake, "bundle": str(self.bundle), **arguments}
        takes_batch = found.spec.model_fields.get("batch")
        if takes_batch is not None and batch is not None:
            spec["batch"] = batch.model_dump(mode="json")
        elif takes_batch is not None and takes_batch.is_required():
            raise ConfigError(f"{task.task_id} needs a batch: --batch {self._example()}")
        try:
            checked = found.spec.model_validate_json(json.dumps(spec))
        except ValidationError as exc:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            raise ConfigError(f"{task.task_id}: {faults}") from None
        began = datetime.now(UTC)
        request = request_for(
            found.name,
            checked,
            run_key=f"{self.plan.pipeline}/{task.task_id}/{batch.id if batch else run_id}",
            connections=connections_for(set(_connection_ids(_own(arguments))), self.environ, self.lake),
        )
        # A pod is Airflow's to start: here its step runs in this process.
        place = "local" if "kubernetes" in task.runs_on else task.runs_on
        outcome = runner_for(place).run(request, emit=lambda message: self.say(task.task_id, message))
        seconds = (datetime.now(UTC) - began).total_seconds()
        return TaskEnd(task.task_id, run_id, outcome.status, outcome.result, outcome.error, outcome.trace, seconds)

    def _skipped(self, dag: DagPlan, task: TaskPlan, run_id: str) -> str:
        """Return why a task has nothing to do here; empty if it has."""
        if task.task_id == "approval":
            return f"approval by {', '.join(task.arguments['approvers'])} is asked for in Airflow only"
        if task.free:
            return f"{task.operator.rpartition('.')[2]} runs in Airflow only"
        if task.task_id == "ask":
            return "people are asked in Airflow only"
        if task.task_id == "promote" and any(other.task_id == "evaluate" for other in dag.tasks):
            verdict = self._result("evaluate", run_id)
            return f"refused: {verdict['reason']}" if verdict["verdict"] == "refused" else ""
        if task.task_id == "start_training":
            decided = self._result("decide", run_id)
            return "" if decided.get("training") else "no decision asks for a training"
        return ""

    def _started(self, decision: dict[str, Any]) -> Iterator[TaskEnd]:
        """Run the training that was decided; its id is the run's, so a second start finds what the first made."""
        done = self._outcomes() / str(decision["id"]) / "train.json"
        if not done.is_file():
            yield from self.run("training", run_id=str(decision["id"]))

    def _resolved(self, value: Any, run_id: str) -> Any:
        if isinstance(value, dict):
            if set(value) == {RESULT}:
                task_id, _, key = value[RESULT].partition(".")
                result = self._result(task_id, run_id)
                return result[key] if key else result
            return {key: self._resolved(item, run_id) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolved(item, run_id) for item in value]
        return value

    def _result(self, task_id: str, run_id: str) -> dict[str, Any]:
        path = self._outcomes() / run_id / f"{task_id}.json"
        if not path.is_file():
            raise ConfigError(f"run {run_id!r} has no result of {task_id}: run it first")
        result: dict[str, Any] | None = json.loads(path.read_text())["result"]
        if result is None:
            raise ConfigError(f"run {run_id!r}: {task_id} ended without a result: run it again")
        return result

    def _keep(self, end: TaskEnd) -> None:
        path = self._outcomes() / end.run_id / f"{end.task_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(end), indent=1))
        part.replace(path)

    def _outcomes(self) -> Path:
        root = self.bundle / ".mlops" if "://" in self.lake else Path(self.lake)
        return root / "_outcomes" / self.plan.pipeline

    def _example(self) -> str:
        starts = [dag.schedule.start for dag in self.plan.dags if dag.schedule.start]
        return starts[0] if starts else "2013-04-01"


def _own(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without a trainer's or dbt's own parameters, which name no connection."""
    return {key: value for key, value in arguments.items() if key not in ("parameters", "vars")}


def _connection_ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("conn_id"), str):
            yield value["conn_id"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _connection_ids(item)

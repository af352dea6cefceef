"""From a pipeline's models to its four DAGs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.factory.arguments import OPTIONS, Arguments, Fill, Filled
from airflow_mlops_provider.factory.errors import KeyPath, PipelineFileError
from airflow_mlops_provider.factory.fragment import fragment
from airflow_mlops_provider.factory.load import Document
from airflow_mlops_provider.factory.models import FreeTask, Pipeline
from airflow_mlops_provider.factory.options import RunsOn
from airflow_mlops_provider.factory.placing import placed, placement_faults
from airflow_mlops_provider.factory.plan_data import (
    RESULT,
    STEPLESS,
    DagPlan,
    NotifyPlan,
    PipelinePlan,
    Provenance,
    SchedulePlan,
    TaskPlan,
)
from airflow_mlops_provider.factory.resolve import given

__all__ = ["OPERATORS", "planned", "stages_of"]

_OPERATORS = "airflow_mlops_provider.operators"
OPERATORS = {
    "ingest": f"{_OPERATORS}.ingest.IngestOperator",
    "validate": f"{_OPERATORS}.validate.ValidateOperator",
    "transform": f"{_OPERATORS}.transform.DbtBuildOperator",
    "materialize": f"{_OPERATORS}.materialize.FeastMaterializeOperator",
    "maintain": f"{_OPERATORS}.maintain.LakeMaintainOperator",
    "train": f"{_OPERATORS}.train.TrainOperator",
    "evaluate": f"{_OPERATORS}.evaluate.EvaluateOperator",
    "register": f"{_OPERATORS}.promote.MlflowRegisterOperator",
    "approval": "airflow.providers.standard.operators.hitl.ApprovalOperator",
    "ask": "airflow.providers.standard.operators.hitl.ApprovalOperator",
    "promote": f"{_OPERATORS}.promote.MlflowPromoteOperator",
    "score": f"{_OPERATORS}.score.BatchScoreOperator",
    "drift": f"{_OPERATORS}.monitor.DriftOperator",
    "performance": f"{_OPERATORS}.monitor.PerformanceOperator",
    "rollback": f"{_OPERATORS}.promote.MlflowRollbackOperator",
    "decide": f"{_OPERATORS}.decide.RetrainDecisionOperator",
    "start_training": f"{_OPERATORS}.decide.StartTrainingOperator",
}
# Keys of a section that its task is not told under this name: they are the DAG's, or the trainer's.
_ELSEWHERE = ("holdout", "refit", "reconcile", "deadline")
_POD = f"{_OPERATORS}.kubernetes.KubernetesStepOperator"


def planned(document: Document, pipeline: Pipeline, *, environment: str | None, lake: str | None) -> PipelinePlan:
    """Return the plan of a checked pipeline; `lake` counts where the file names none.

    Raises PipelineFileError where `tasks` cannot be placed.
    """
    planner = _Planner(document, pipeline)
    dags = planner.dags()
    if pipeline.tasks:
        faults = [document.error(*fault) for fault in placement_faults(dags, pipeline.tasks)]
        if faults:
            raise PipelineFileError(faults)
        dags = placed(dags, pipeline.tasks, {name: planner.free(name, one) for name, one in pipeline.tasks.items()})
    return PipelinePlan(
        pipeline=pipeline.pipeline,
        file=document.file,
        environment=environment,
        timezone=pipeline.timezone,
        lake=pipeline.lake or lake,
        model=planner.fill.model,
        alias=pipeline.alias,
        dags=dags,
        notify=_notify(pipeline),
    )


def stages_of(pipeline: Pipeline) -> tuple[DagPlan, ...]:
    """Return the DAGs of a pipeline without its `tasks`, and without where anything came from."""
    return _Planner(Document("", {}, {}), pipeline).dags()


class _Planner:
    """One pipeline under one environment."""

    def __init__(self, document: Document, pipeline: Pipeline) -> None:
        self.document = document
        self.pipeline = pipeline
        self.fill = Fill(pipeline)

    def dags(self) -> tuple[DagPlan, ...]:
        """Return the DAGs of the sections that are there."""
        found = (self.data(), self.scoring(), self.monitoring(), self.training())
        return tuple(dag for dag in found if dag is not None)

    def free(self, name: str, task: FreeTask) -> TaskPlan:
        """Return a task of one's own, not yet placed."""
        path: KeyPath = ("tasks", name)
        return TaskPlan(
            task_id=name,
            operator=task.operator,
            step=None,
            arguments=dict(sorted(task.arguments.items())),
            doc=self._fragment(path),
            provenance={key: self._provenance((*path, "arguments", key)) for key in sorted(task.arguments)},
            **{**self._options(task), "runs_on": "local"},
        )

    def data(self) -> DagPlan | None:
        """Ingest → validate → transform → materialize; maintain behind them, and nothing waits for it."""
        data = self.pipeline.data
        if data is None or data.from_ is not None:
            return None
        sources = {name: given(self.pipeline, "data", "ingest", name) for name in data.ingest}
        filled: Filled = {"datasets": (sources, ("data", "ingest"))}
        if data.validate_:
            filled["publish"] = (False, None)
        tasks = [self._task("ingest", ("data", "ingest"), None, filled)]
        if data.validate_:
            tasks.append(self._task("validate", ("data", "validate"), None, self.fill.validate(), after=tasks[-1:]))
        for name in ("transform", "materialize"):
            section = getattr(data, name)
            if section is not None:
                tasks.append(self._task(name, ("data", name), section, {}, after=tasks[-1:]))
        tasks[-1] = _emitting(tasks[-1], self._asset("data"))
        tasks.append(
            self._task("maintain", ("data", "maintain"), data.maintain, self.fill.maintain(), after=tasks[-1:])
        )
        return self._dag("data", "data", self._data_schedule(), tasks)

    def scoring(self) -> DagPlan | None:
        """score, woken by data."""
        scoring = self.pipeline.scoring
        if scoring is None:
            return None
        filled = self.fill.named({"alias"}) | self.fill.from_dataset("feature_service", "unique_key", "event_timestamp")
        task = replace(self._task("score", ("scoring",), scoring, filled), inlets=(self._asset("data"),))
        tasks = [_emitting(task, self._asset("score"))]
        return self._dag("score", "scoring", self._woken("data", scoring.reconcile), tasks)

    def monitoring(self) -> DagPlan | None:
        """Drift and performance → rollback → decide → start_training.

        Woken by score, by data without scoring, and by a schedule of its own without both.
        """
        monitoring = self.pipeline.monitoring
        if monitoring is None:
            return None
        waker = "score" if self.pipeline.scoring else "data"
        schedule = (
            self._own_schedule(monitoring.schedule, reconcile=monitoring.reconcile)
            if monitoring.schedule
            else self._woken(waker, monitoring.reconcile)
        )
        tasks: list[TaskPlan] = []
        for name, filled in (("drift", self.fill.drift), ("performance", self.fill.performance)):
            section = getattr(monitoring, name)
            if section is not None:
                task = self._task(name, ("monitoring", name), section, filled())
                tasks.append(replace(task, inlets=schedule.assets))
        watched = list(tasks)
        if monitoring.performance is not None and self._probation():
            tasks.append(self._task("rollback", ("scoring", "probation"), None, self.fill.rollback(), after=watched))
            watched = tasks[-1:]
        if monitoring.retrain is not None:
            tasks.append(
                self._task("decide", ("monitoring", "retrain"), monitoring.retrain, self.fill.decide(), after=watched)
            )
            watched = tasks[-1:]
        tasks = [_emitting(task, self._asset("monitor")) if task in watched else task for task in tasks]
        if monitoring.retrain is not None and self.pipeline.training is not None:
            tasks.append(self._start_training(tasks[-1:]))
        return self._dag("monitor", "monitoring", schedule, tasks)

    def training(self) -> DagPlan | None:
        """Ask → train → evaluate → register → approval → promote; no schedule."""
        training = self.pipeline.training
        if training is None:
            return None
        monitoring = self.pipeline.monitoring
        tasks: list[TaskPlan] = []
        if monitoring is not None and monitoring.retrain is not None and monitoring.retrain.ask:
            # Here and not before the start: a monitoring run that waited for people would keep the next ones waiting.
            tasks.append(self._task("ask", ("monitoring", "retrain"), None, self.fill.ask()))
        tasks.append(self._task("train", ("training", "train"), training.train, self.fill.train(), after=tasks))
        section = ("training", "evaluate")
        tasks.append(self._task("evaluate", section, training.evaluate, self.fill.evaluate(), after=tasks[-1:]))
        judged: Filled = {"trained": ({RESULT: "train"}, None), "verdict": ({RESULT: "evaluate"}, None)}
        tasks.append(
            self._task("register", ("training",), None, self.fill.named() | judged, after=tasks[-1:], doc=False)
        )
        if training.approval is not None:
            path = ("training", "approval")
            tasks.append(self._task("approval", path, None, self.fill.approval(), after=tasks[-1:]))
        version: Filled = {"version": ({RESULT: "register.version"}, None)}
        filled = self.fill.named({"alias"}) | version | judged
        tasks.append(self._task("promote", ("training",), None, filled, after=tasks[-1:], doc=False))
        schedule = SchedulePlan("none", self.pipeline.timezone)
        return self._dag("train", "training", schedule, tasks)

    def _start_training(self, after: list[TaskPlan]) -> TaskPlan:
        dag_id = f"{self.pipeline.pipeline}-train"
        filled: Filled = {"decision": ({RESULT: "decide"}, None), "trigger_dag_id": (dag_id, None)}
        return self._task("start_training", ("training",), None, filled, after=after, doc=False)

    def _probation(self) -> bool:
        scoring = self.pipeline.scoring
        return scoring is not None and scoring.probation > 0

    def _task(
        self,
        task_id: str,
        path: KeyPath,
        section: Contract | None,
        filled: Filled,
        *,
        after: list[TaskPlan] | None = None,
        doc: bool = True,
    ) -> TaskPlan:
        """Return a task: what its section says goes over what is filled in from elsewhere."""
        own = {key: (value, (*path, key)) for key, value in given(self.pipeline, *path).items()} if section else {}
        if task_id == "decide":
            own = {}  # the section is one argument, filled in whole
        own = {key: pair for key, pair in own.items() if key not in (*OPTIONS, *_ELSEWHERE)}
        arguments, options = {**filled, **own}, self._options(section)
        return TaskPlan(
            task_id=task_id,
            operator=_POD if task_id not in STEPLESS and "kubernetes" in options["runs_on"] else OPERATORS[task_id],
            step=None if task_id in STEPLESS else task_id,
            arguments={key: value for key, (value, _) in sorted(arguments.items())},
            upstream=tuple(task.task_id for task in after or []),
            doc=self._fragment(path) if doc else "",
            provenance={key: self._provenance(source) for key, (_, source) in sorted(arguments.items())},
            **options,
        )

    def _options(self, section: Contract | None) -> Arguments:
        """Return where and how a task runs: the section's word, else the file's default."""
        options = {name: getattr(self.pipeline.defaults, name) for name in OPTIONS}
        options |= {name: value for name in OPTIONS if (value := getattr(section, name, None)) is not None}
        runs_on = options["runs_on"]
        return {
            "runs_on": _place(runs_on),
            "retries": options["retries"],
            "retry_delay_s": _seconds(options["retry_delay"]),
            "execution_timeout_s": _seconds(options["execution_timeout"]),
            "pool": options["pool"],
        }

    def _dag(self, suffix: str, section: str, schedule: SchedulePlan, tasks: list[TaskPlan]) -> DagPlan:
        return DagPlan(
            dag_id=f"{self.pipeline.pipeline}-{suffix}",
            section=section,
            schedule=schedule,
            tasks=tuple(tasks),
            owner=self.pipeline.owner,
            tags=tuple(sorted({"mlops", self.pipeline.pipeline, *self.pipeline.tags})),
            doc=self._fragment((section,)),
            deadline_s=_seconds(getattr(self.pipeline, section).deadline),
        )

    def _data_schedule(self) -> SchedulePlan:
        data = self.pipeline.data
        assert data is not None
        start, end = (day.isoformat() if day else None for day in (data.start, data.end))
        return self._own_schedule(data.schedule, start=start, end=end)

    def _own_schedule(
        self, said: str, *, start: str | None = None, end: str | None = None, reconcile: str | None = None
    ) -> SchedulePlan:
        timezone = self.pipeline.timezone
        if "://" in said:
            return SchedulePlan("assets", timezone, assets=(said,), reconcile=reconcile)
        return SchedulePlan("interval", timezone, cron=said, start=start, end=end)

    def _woken(self, by: str, reconcile: str) -> SchedulePlan:
        return SchedulePlan("assets", self.pipeline.timezone, assets=(self._asset(by),), reconcile=reconcile)

    def _asset(self, name: str) -> str:
        data = self.pipeline.data
        owner = data.from_ if name == "data" and data is not None and data.from_ else self.pipeline.pipeline
        return f"mlops://{owner}/{name}"

    def _provenance(self, path: KeyPath | None) -> Provenance:
        mark = self.document.marks.get(path) if path else None
        return Provenance(mark.file, mark.key_line or None, mark.environment) if mark else Provenance("default")

    def _fragment(self, path: KeyPath) -> str:
        """Return the YAML of a path, without lines: an inserted line above must not change a DAG."""
        value: Any = self.document.data
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            return ""
        for part in reversed(path):
            value = {part: value}
        return fragment(value)


def _notify(pipeline: Pipeline) -> NotifyPlan | None:
    notify = pipeline.notify
    return None if notify is None else NotifyPlan(notify.notifier, notify.on, notify.arguments)


def _place(runs_on: RunsOn | None) -> str | dict[str, Any]:
    if runs_on is not None and runs_on.kubernetes is not None:
        return {"kubernetes": runs_on.kubernetes.model_dump(mode="json", exclude_unset=True)}
    return {"python": runs_on.python} if runs_on and runs_on.python else "local"


def _emitting(task: TaskPlan, asset: str) -> TaskPlan:
    return replace(task, outlets=(asset,))


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()

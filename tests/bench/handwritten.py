"""The demo's pipeline three times: by this package, by hand with the same operators, and for dag-factory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.factory.plan_data import RESULT
from tests.bench.measure import ROOT

if TYPE_CHECKING:
    from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, TaskPlan

__all__ = ["flights", "write"]

_OURS = "from airflow_mlops_provider.factory.build import build_dags\n\nglobals().update(build_dags(__file__))\n"
_PEER = (
    "from pathlib import Path\n\nfrom airflow.sdk import DAG  # the word that Airflow looks for in a file\n"
    "from dagfactory import load_yaml_dags\n\n"
    "load_yaml_dags(globals_dict=globals(), config_filepath=str(Path(__file__).with_suffix('.yaml')))\n"
)

_HEAD = """\
from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, CronTriggerTimetable
from pendulum import timezone
from airflow_mlops_provider.factory.timetable import BatchTimetable
from airflow_mlops_provider.operators.notify import FailureCallback"""


def documented(fragment: str) -> str | None:
    """Return a fragment as the factory documents it."""
    return f"```yaml\n{fragment}```" if fragment else None


def flights() -> PipelinePlan:
    """Return the plan of dags/flights.yaml."""
    from airflow_mlops_provider.factory.config import FactoryConfig
    from airflow_mlops_provider.factory.plan import plan

    return plan(ROOT / "dags" / "flights.yaml", bundle=ROOT, config=FactoryConfig(lake="lake"))


def write(side: str, folder: Path, plan: PipelinePlan, number: int) -> None:
    """Write the pipeline's files for a side; `number` tells copies apart."""
    stem, dags = f"flights{number or ''}", folder / "dags"
    dags.mkdir(exist_ok=True)
    if side == "ours":
        for name in ("include", "dbt_project", "expectations"):
            # Copies: a path that leaves the bundle through a link is refused.
            if not (folder / name).exists():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
        text = (ROOT / "dags" / "flights.yaml").read_text()
        (dags / f"{stem}.yaml").write_text(text.replace("pipeline: flights\n", f"pipeline: {stem}\n", 1))
        (dags / f"{stem}.py").write_text(_OURS)
    elif side == "floor":
        (dags / f"{stem}.py").write_text(_by_hand(plan, stem))
        shutil.copytree(ROOT / "include", folder / "include", dirs_exist_ok=True)
    else:
        (dags / f"{stem}.yaml").write_text(_for_dag_factory(plan, stem))
        (dags / f"{stem}.py").write_text(_PEER)


def _by_hand(plan: PipelinePlan, stem: str) -> str:
    """Return the same DAGs as somebody writes them who knows this package's operators."""
    lines: list[str] = []
    for dag in plan.dags:
        lines += ["", f"with {_dag(plan, dag)}:"]
        lines += [f"    {task.task_id} = {_task(plan, dag, task)}" for task in dag.tasks]
        lines += [f"    {above} >> {task.task_id}" for task in dag.tasks for above in task.upstream]
    operators = sorted({task.operator for dag in plan.dags for task in dag.tasks})
    imports = [f"from {module} import {name}" for module, _, name in (o.rpartition(".") for o in operators)]
    return "\n".join([_HEAD, *imports, *_notifier(plan), *lines]).replace(plan.pipeline, stem) + "\n"


def _notifier(plan: PipelinePlan) -> list[str]:
    if plan.notify is None:
        return ["", "TOLD, FAILED = [], []"]
    module, _, name = plan.notify.notifier.rpartition(".")
    told = f"TOLD = [{name}(**{plan.notify.arguments!r})]"
    return [f"from {module} import {name}", "", told, f"FAILED = [FailureCallback(TOLD[0], {plan.pipeline!r})]"]


def _dag(plan: PipelinePlan, dag: DagPlan) -> str:
    schedule, zone = dag.schedule, f"timezone({plan.timezone!r})"
    start, end = (f"datetime.fromisoformat({day!r}).replace(tzinfo={zone})" for day in (schedule.start, schedule.end))
    assets = f"[{', '.join(f'Asset(uri={uri!r})' for uri in schedule.assets)}]"
    kinds = {
        "none": "None",
        "interval": f"BatchTimetable({schedule.cron!r}, {plan.timezone!r}, {start}, {end})",
        "assets": f"AssetOrTimeSchedule(timetable=CronTriggerTimetable({schedule.reconcile!r}, "
        f"timezone={plan.timezone!r}), assets={assets})",
    }
    return (
        f"DAG(dag_id={dag.dag_id!r}, schedule={kinds[schedule.kind]}, start_date={start if schedule.start else None}, "
        f"catchup=False, max_active_runs={dag.max_active_runs}, default_args={{'owner': {dag.owner!r}}}, "
        f"tags={list(dag.tags)!r}, doc_md={documented(dag.doc)!r})"
    )


def _task(plan: PipelinePlan, dag: DagPlan, task: TaskPlan) -> str:
    given = {key: _literal(value) for key, value in task.arguments.items()}
    if task.task_id == "evaluate":
        given["skip_if_refused"] = repr([t.task_id for t in dag.tasks if t.task_id in ("approval", "promote")])
    if task.step is not None:
        given |= {"pipeline": repr(plan.pipeline), "lake": repr(plan.lake), "timezone": repr(plan.timezone)}
        given |= {"runs_on": repr(task.runs_on), "notify": "TOLD", "notify_on": repr(plan.notify and plan.notify.on)}
    for key, uris in (("inlets", task.inlets), ("outlets", task.outlets)):
        given |= {key: f"[{', '.join(f'Asset(uri={uri!r})' for uri in uris)}]"} if uris else {}
    given |= {"retries": repr(task.retries), "retry_delay": f"timedelta(seconds={task.retry_delay_s})"}
    given |= {"doc_md": repr(documented(task.doc)), "on_failure_callback": "FAILED"}
    arguments = ", ".join(f"{key}={value}" for key, value in given.items() if value != "None")
    return f"{task.operator.rpartition('.')[2]}(task_id={task.task_id!r}, {arguments})"


def _literal(value: Any) -> str:
    """Return a value as Python, another task's result as its output or as the template of a field of it."""
    if isinstance(value, dict) and set(value) == {RESULT}:
        task, _, field = value[RESULT].partition(".")
        return repr(f"{{{{ ti.xcom_pull(task_ids='{task}')['{field}'] }}}}") if field else f"{task}.output"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _for_dag_factory(plan: PipelinePlan, stem: str) -> str:
    lines = []
    for dag in plan.dags:
        lines += [
            f"{stem}-{dag.section}:",
            "  tags: [demo]",
            "  default_args: {owner: ml, retries: 2, start_date: 2013-01-01}",
        ]
        lines += ["  tasks:"]
        for task in dag.tasks:
            lines += [
                f"    - task_id: {task.task_id}",
                "      operator: airflow.providers.standard.operators.empty.EmptyOperator",
                f"      dependencies: [{', '.join(task.upstream)}]",
            ]
    return "\n".join(lines) + "\n"

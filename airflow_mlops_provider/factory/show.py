"""A plan, errors and an interpreter's description as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from airflow_mlops_provider.factory.errors import FileError
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, SchedulePlan, TaskPlan

__all__ = ["doctor_text", "errors_text", "plan_text"]


def plan_text(plan: PipelinePlan) -> str:
    """Return every DAG, task and argument of a plan, each with where it came from."""
    head = f"{plan.pipeline} ({plan.file}), environment {plan.environment or 'none'}, lake {plan.lake or 'not set'}"
    return "\n".join([head, *(line for dag in plan.dags for line in _dag_lines(dag))]) + "\n"


def errors_text(errors: list[FileError], form: str) -> str:
    """Return errors as `text` lines, one `json` list, or `github` workflow commands."""
    if form == "json":
        return json.dumps([error.as_json() for error in errors], indent=2)
    return "".join(f"{_github(error) if form == 'github' else error}\n" for error in errors)


def doctor_text(found: dict[str, Any]) -> str:
    """Return an interpreter's description, and what each incomplete extra lacks."""
    lines = [
        f"python     {found['python']} ({found['executable']})",
        f"package    {found['package']}, protocol {found['protocol']}",
    ]
    if "airflow" in found:
        lines.append(f"airflow    {found['airflow'] or 'not installed'}")
    lines += [f"{name:<10} {version}" for name, version in sorted(found["tools"].items()) if version]
    lines += [
        f"{extra}: {', '.join(names)} not installed: pip install 'airflow-mlops-provider[{extra}]'"
        for extra, names in found["missing"].items()
    ]
    return "\n".join(lines)


def _dag_lines(dag: DagPlan) -> Iterator[str]:
    yield f"\n{dag.dag_id}  {_schedule(dag.schedule)}"
    for task in dag.tasks:
        after = f" after {', '.join(task.upstream)}" if task.upstream else ""
        yield f"  {task.task_id}{after}: {task.operator.rpartition('.')[2]}{_options(task)}"
        for key, value in task.arguments.items():
            yield f"    {key} = {json.dumps(value, ensure_ascii=False)}  # {task.provenance[key]}"
        if task.outlets:
            yield f"    emits {', '.join(task.outlets)}"


def _schedule(schedule: SchedulePlan) -> str:
    if schedule.kind == "none":
        return "no schedule"
    if schedule.kind == "assets":
        also = f", and {schedule.reconcile}" if schedule.reconcile else ""
        return f"woken by {', '.join(schedule.assets)}{also}"
    return f"{schedule.cron} in {schedule.timezone}, from {schedule.start or 'now'} to {schedule.end or 'ever'}"


def _options(task: TaskPlan) -> str:
    said = {"retries": task.retries, "pool": task.pool, "execution_timeout_s": task.execution_timeout_s}
    where = "" if task.runs_on == "local" else f", runs_on {task.runs_on}"
    return where + "".join(f", {key} {value}" for key, value in said.items() if value is not None)


def _github(error: FileError) -> str:
    def escaped(text: str) -> str:
        return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

    text = f"{error.path}: {error.message}" if error.path else error.message
    file = escaped(error.file).replace(",", "%2C").replace(":", "%3A")
    return f"::error file={file},line={error.line},col={error.column}::{escaped(text)}"

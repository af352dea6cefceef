"""A plan, errors and an interpreter's description as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from airflow_mlops_provider.factory.errors import FileError
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, SchedulePlan, TaskPlan
from airflow_mlops_provider.factory.secrets_rule import is_secret_fault

if TYPE_CHECKING:  # it builds every model of a pipeline file, and a kept plan needs none
    from airflow_mlops_provider.factory.check import LintedFile

__all__ = ["doctor_text", "errors_text", "plan_text", "summary_text"]

# Characters of a line that an error shows.
_SHOWN = 120


def plan_text(plan: PipelinePlan) -> str:
    """Return every DAG, task and argument of a plan, each with where it came from."""
    head = f"{plan.pipeline} ({plan.file}), environment {plan.environment or 'none'}, lake {plan.lake or 'not set'}"
    return "\n".join([head, *(line for dag in plan.dags for line in _dag_lines(dag))]) + "\n"


def errors_text(files: list[LintedFile], form: str) -> str:
    """Return errors as `text` with their place in the file, one `json` list, or `github` workflow commands."""
    if form == "json":
        return json.dumps([error.as_json() for file in files for error in file.errors], indent=2) + "\n"
    if form == "github":
        return "".join(f"{_github(error)}\n" for file in files for error in file.errors)
    return "".join(part for file in files for part in _shown_errors(file))


def summary_text(files: list[LintedFile]) -> str:
    """Return how many files were looked at, and how many errors they have."""
    errors, wrong = sum(len(file.errors) for file in files), sum(bool(file.errors) for file in files)
    if not errors:
        return f"{_many(len(files), 'file')}: no error"
    where = f"{wrong} of {_many(len(files), 'file')}" if len(files) > 1 else "1 file"
    return f"{_many(errors, 'error')} in {where}"


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


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _shown_errors(file: LintedFile) -> Iterator[str]:
    # As YAML counts lines; a file of another encoding is shown as far as it goes.
    text = file.raw.decode(errors="replace").removeprefix("\ufeff")
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text) if file.errors else []
    secret = {error.line for error in file.errors if is_secret_fault(error.message)}
    for error in file.errors:
        yield f"{error}\n{'' if error.line in secret else _place(lines, error)}"


def _place(lines: list[str], error: FileError) -> str:
    """Return the error's line and a caret under its column; nothing where there is no such line."""
    if error.line > len(lines) or not lines[error.line - 1].strip():
        return ""
    at = error.column - 1
    cut = at - _SHOWN // 2 if at > _SHOWN * 3 // 4 else 0
    shown = "".join(one if one.isprintable() else " " for one in lines[error.line - 1][cut : cut + _SHOWN])
    before = shown[: at - cut]
    indent = sum(2 if east_asian_width(one) in "WF" else 1 for one in before)
    number = f"{error.line:>5} | "
    return f"{number}{shown}\n{'|':>{len(number) - 1}} {' ' * indent}^\n"


def _dag_lines(dag: DagPlan) -> Iterator[str]:
    late = f", deadline_s {dag.deadline_s}" if dag.deadline_s is not None else ""
    yield f"\n{dag.dag_id}  {_schedule(dag.schedule)}{late}"
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

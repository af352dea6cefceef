"""Two plans side by side: DAGs and tasks that came, went or changed, and each value that did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan, TaskPlan

__all__ = ["Difference", "Value", "compared", "differences", "differences_json", "differences_text"]

Kind = Literal["added", "removed", "changed"]
# What stands for a value that is not there: null is a value.
_ABSENT = object()
# In a DAG and a task they are told one by one; the documentation is the file's own text again.
_APART = frozenset({"arguments", "dags", "doc", "file", "environment", "provenance", "tasks", "task_id", "dag_id"})


@dataclass(frozen=True, slots=True)
class Value:
    """A value by its dotted key; that of an argument begins with `arguments.`.

    `old` means nothing where it was added, `new` where it was removed; `source`: where the new one comes from.
    """

    key: str
    kind: Kind
    old: Any = None
    new: Any = None
    source: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are there."""
        gone = {"added": "old", "removed": "new"}.get(self.kind)
        return {key: value for key, value in asdict(self).items() if key != gone}


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of the pipeline (no `dag_id`), of a DAG (no `task_id`) or of a task."""

    kind: Kind
    dag_id: str | None
    task_id: str | None
    values: tuple[Value, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self) | {"values": [value.as_json() for value in self.values]}


def differences(old: PipelinePlan, new: PipelinePlan) -> list[Difference]:
    """Return how `new` differs from `old`: the pipeline first, then DAG by DAG, in the new plan's order.

    A DAG or task that came or went is told with its tasks and arguments. Lines and the documentation of DAGs and tasks,
    which is the file's text, are not compared.
    """
    found = list(_changed(None, None, _own(old), _own(new)))
    before, after = ({dag.dag_id: dag for dag in plan.dags} for plan in (old, new))
    for dag_id in [*after, *(dag_id for dag_id in before if dag_id not in after)]:
        found += _dag(dag_id, before.get(dag_id), after.get(dag_id))
    return found


def compared(old: Sequence[PipelinePlan], new: Sequence[PipelinePlan], against: str, form: str) -> str:
    """Return how a file's plans differ from those of `against`, as `text` or `json`; several make one list.

    One is compared with the other; where a matrix makes several, each with the one of its name, or with none.
    """
    pairs = list(zip(old, new, strict=True)) if len(old) == len(new) == 1 else list(_paired(old, new, against))
    if form == "json":
        data = [differences_json(*pair) for pair in pairs]
        return json.dumps(data if len(new) > 1 else data[0], indent=2)
    return "\n\n".join(differences_text(*pair) for pair in pairs)


def _paired(
    old: Sequence[PipelinePlan], new: Sequence[PipelinePlan], against: str
) -> Iterator[tuple[PipelinePlan, PipelinePlan]]:
    before = {plan.pipeline: plan for plan in old}
    for plan in new:
        yield before.pop(plan.pipeline, replace(plan, file=against, dags=(), notify=None)), plan
    for plan in before.values():
        yield plan, replace(plan, file=new[0].file, environment=new[0].environment, dags=(), notify=None)


def differences_json(old: PipelinePlan, new: PipelinePlan) -> dict[str, Any]:
    """Return the differences as plain JSON, the same for the same two plans."""
    found = [difference.as_json() for difference in differences(old, new)]
    return {"file": new.file, "against": old.file, "environment": new.environment, "differences": found}


def differences_text(old: PipelinePlan, new: PipelinePlan) -> str:
    """Return a line for each DAG, task and value that differs: `+` came, `-` went, `~` changed."""
    found = differences(old, new)
    head = f"{new.pipeline} ({new.file}), environment {new.environment or 'none'}, against {old.file}"
    kinds: list[str] = [one.kind for one in found if one.task_id]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in ("added", "removed", "changed"))
    last = f"tasks: {counts}" if found else "no difference"
    return "\n".join([head, *(line for one in found for line in _lines(new.pipeline, one)), last])


def _dag(dag_id: str, old: DagPlan | None, new: DagPlan | None) -> Iterator[Difference]:
    yield from _changed(dag_id, None, _own(old), _own(new))
    before, after = ({task.task_id: task for task in dag.tasks} if dag else {} for dag in (old, new))
    for task_id in [*after, *(task_id for task_id in before if task_id not in after)]:
        was, comes = before.get(task_id), after.get(task_id)
        yield from _changed(dag_id, task_id, _own(was), _own(comes), comes)


def _own(part: PipelinePlan | DagPlan | TaskPlan | None) -> dict[str, Any] | None:
    """Return what is compared of a part of a plan, as plain JSON; a task's arguments stand under `arguments`."""
    if part is None:
        return None
    data: dict[str, Any] = json.loads(json.dumps(asdict(part)))
    own = {key: value for key, value in data.items() if key not in _APART}
    return own | ({"arguments": data["arguments"]} if isinstance(part, TaskPlan) else {})


def _changed(
    dag_id: str | None,
    task_id: str | None,
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    task: TaskPlan | None = None,
) -> Iterator[Difference]:
    kind: Kind = "added" if old is None else "removed" if new is None else "changed"
    nothing: dict[str, Any] = {"arguments": {}} if task_id else {}
    values = tuple(_values((), nothing if old is None else old, nothing if new is None else new, task))
    if kind != "changed":  # of all values that a task or DAG has, those that say something
        values = tuple(v for v in values if (v.old if kind == "removed" else v.new) not in (None, [], {}))
    if kind != "changed" or values:
        yield Difference(kind, dag_id, task_id, values)


def _values(path: tuple[str, ...], old: Any, new: Any, task: TaskPlan | None) -> Iterator[Value]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            yield from _values((*path, key), old.get(key, _ABSENT), new.get(key, _ABSENT), task)
        return
    key = ".".join(path)
    said = task.provenance.get(path[1]) if task is not None and path[0] == "arguments" else None
    source = str(said) if said else None
    if old is _ABSENT:
        yield Value(key, "added", new=new, source=source)
    elif new is _ABSENT:
        yield Value(key, "removed", old=old)
    elif json.dumps(old) != json.dumps(new):  # 1, 1.0 and true are not the same
        yield Value(key, "changed", old=old, new=new, source=source)


_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def _lines(pipeline: str, one: Difference) -> Iterator[str]:
    yield f"{_SIGNS[one.kind]} {one.dag_id or pipeline}{f'.{one.task_id}' if one.task_id else ''}"
    for value in one.values:
        old, new = (json.dumps(side, ensure_ascii=False) for side in (value.old, value.new))
        said = {"added": new, "removed": old, "changed": f"{old} -> {new}"}[value.kind]
        source = f"  # {value.source}" if value.source else ""
        yield f"    {_SIGNS[value.kind]} {value.key.removeprefix('arguments.')} = {said}{source}"

"""Where the tasks of one's own stand: in which of the four DAGs, behind and before which tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_mlops_provider.factory.errors import KeyPath, did_you_mean
from airflow_mlops_provider.factory.plan_data import DagPlan, TaskPlan

if TYPE_CHECKING:  # it builds every model of a pipeline file, and a kept plan needs none
    from airflow_mlops_provider.factory.models import FreeTask

__all__ = ["placed", "placement_faults", "skipped_if_refused"]

Fault = tuple[KeyPath, str]
Tasks = Mapping[str, "FreeTask"]
Waits = dict[str, list[str]]  # a task: what it waits for


def placement_faults(dags: Sequence[DagPlan], tasks: Tasks) -> Iterator[Fault]:
    """Yield names that nobody has, tasks that would be in two DAGs or in none, and circles. `dags`: without `tasks`."""
    stages = [task.task_id for dag in dags for task in dag.tasks]
    known = [*stages, *tasks]
    unknown = list(_unknown(tasks, known))
    yield from unknown
    if not unknown:
        yield from _homeless(dags, tasks)
        yield from _circles(_waits(dags, tasks), tasks)


def placed(dags: Sequence[DagPlan], tasks: Tasks, plans: Mapping[str, TaskPlan]) -> tuple[DagPlan, ...]:
    """Return the DAGs with each task of `plans` in its own, in an order in which they can run.

    Nothing of `placement_faults` may be wrong.
    """
    waits = _waits(dags, tasks)
    homes = {name: next(iter(_sections(name, dags, tasks))) for name in tasks}
    return tuple(_with(dag, [plans[name] for name in tasks if homes[name] == dag.section], waits) for dag in dags)


def skipped_if_refused(dag: DagPlan) -> list[str]:
    """Return the tasks of a training that a refused challenger skips: the promotion, and what leads from the verdict
    to it alone. What follows them is skipped by Airflow itself.
    """
    behind: set[str] = set()  # the verdict
    for task in dag.tasks:
        if task.task_id == "evaluate" or behind & set(task.upstream):
            behind.add(task.task_id)
    promoting, registering = _before("promote", dag), _before("register", dag)
    names = (behind & promoting) - registering - {"evaluate", "register"}
    return [task.task_id for task in dag.tasks if task.task_id in names or task.task_id == "promote"]


def _before(name: str, dag: DagPlan) -> set[str]:
    upstream = {task.task_id: task.upstream for task in dag.tasks}
    found: set[str] = set()
    pending = [name]
    while pending:
        for one in upstream.get(pending.pop(), ()):
            if one not in found:
                found.add(one)
                pending.append(one)
    return found


def _with(dag: DagPlan, own: Sequence[TaskPlan], waits: Waits) -> DagPlan:
    if not own:
        return dag
    found = {task.task_id: replace(task, upstream=tuple(waits[task.task_id])) for task in (*dag.tasks, *own)}
    ordered: dict[str, TaskPlan] = {}

    def put(name: str) -> None:
        if name not in ordered:
            for upstream in waits[name]:
                put(upstream)
            ordered[name] = found[name]

    for name in found:
        put(name)
    return replace(dag, tasks=tuple(ordered.values()))


def _unknown(tasks: Tasks, known: list[str]) -> Iterator[Fault]:
    for name, task in tasks.items():
        for key, named in (("after", task.after), ("before", task.before)):
            for i, other in enumerate(named):
                if other not in known:
                    path = ("tasks", name, key, *((i,) if len(named) > 1 else ()))
                    others = [one for one in known if one != name]
                    yield path, f"this pipeline has no task {other!r}{did_you_mean(other, others)}"


def _homeless(dags: Sequence[DagPlan], tasks: Tasks) -> Iterator[Fault]:
    """Yield the first task of each group that hangs together and leads to no DAG, or to several."""
    told: set[str] = set()
    for name in tasks:
        if name in told:
            continue
        found = _sections(name, dags, tasks)
        told |= _together(name, tasks)
        if not found:
            yield ("tasks", name), "leads to no task of the pipeline's own: which of its DAGs is it in?"
        elif len(found) > 1:
            where = ", ".join(f"{stage!r} is in {section}" for section, stage in found.items())
            yield ("tasks", name), f"leads to tasks of several DAGs, but a task is in one: {where}"


def _sections(name: str, dags: Sequence[DagPlan], tasks: Tasks) -> dict[str, str]:
    """Return the sections that a task leads to, directly or through others, each with a stage of it that is named."""
    home = {task.task_id: dag.section for dag in dags for task in dag.tasks}
    found: dict[str, str] = {}
    together = _together(name, tasks)
    for member in [one for one in tasks if one in together]:
        for other in (*tasks[member].after, *tasks[member].before):
            if other in home:
                found.setdefault(home[other], other)
    return found


def _together(name: str, tasks: Tasks) -> set[str]:
    """Return the tasks of one's own that are joined with one by after and before, itself included."""
    joined: set[str] = set()
    pending = [name]
    while pending:
        one = pending.pop()
        if one in tasks and one not in joined:
            joined.add(one)
            pending += [*tasks[one].after, *tasks[one].before]
            pending += [other for other, task in tasks.items() if one in (*task.after, *task.before)]
    return joined


def _waits(dags: Sequence[DagPlan], tasks: Tasks) -> Waits:
    waits = {task.task_id: list(task.upstream) for dag in dags for task in dag.tasks}
    waits |= {name: list(dict.fromkeys(task.after)) for name, task in tasks.items()}
    for name, task in tasks.items():
        for other in dict.fromkeys(task.before):
            if name not in waits[other]:
                waits[other].append(name)
    return waits


def _circles(waits: Waits, tasks: Tasks) -> Iterator[Fault]:
    """Yield each circle at its first task of one's own; of those that share a task, one."""
    left = {name: set(names) for name, names in waits.items()}
    for name in tasks:
        _drop_what_can_run(left)
        if name in left and (circle := _circle(name, left)):
            own = [one for one in tasks if one in circle]
            begin = circle.index(own[0])
            shown = [*circle[begin:], *circle[:begin], own[0]]
            yield ("tasks", own[0]), f"waits for itself: {' -> '.join(shown)}"
            for one in own:
                left[one] = set()


def _drop_what_can_run(left: dict[str, set[str]]) -> None:
    while ready := [name for name, names in left.items() if not names & left.keys()]:
        for name in ready:
            del left[name]


def _circle(name: str, left: dict[str, set[str]]) -> list[str]:
    """Return a circle that `name` waits for or is in, in the order in which its tasks would run."""
    walked: list[str] = []
    while name not in walked:
        walked.append(name)
        name = min(left[name] & left.keys())
    return walked[walked.index(name) :][::-1]

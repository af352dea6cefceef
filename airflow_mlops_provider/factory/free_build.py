"""Tasks of one's own as operators: their arguments against the real signature, and errors with the file's lines."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk import BaseOperator

from airflow_mlops_provider.factory.classes import BuildError, Fault, imported, refused
from airflow_mlops_provider.factory.errors import KeyPath, did_you_mean
from airflow_mlops_provider.factory.plan_data import TaskPlan

__all__ = ["check_operators", "free_operator"]

_RULE = "a task runs when all that it waits for succeeded, or it would run behind a refusal"


def check_operators(tasks: Iterable[TaskPlan], folder: str = "") -> None:
    """Raise BuildError with every argument that an operator does not know, and every one that it wants.

    `folder`, below the DAG bundle, is what the classes' names are relative to. Raises BuildError at once for a
    class that is not there or is no operator.
    """
    faults: list[Fault] = []
    for task in tasks:
        at: KeyPath = ("tasks", task.task_id)
        faults += _argument_faults(_class(task.operator, folder, at), task.arguments, (*at, "arguments"))
    if faults:
        raise BuildError(faults)


def free_operator(task: TaskPlan, options: dict[str, Any], folder: str = "") -> BaseOperator:
    """Return the operator of a task of one's own; `options` are Airflow's, besides its arguments.

    Raises BuildError where its class is not there, its constructor raises, or it would not wait for success.
    """
    at: KeyPath = ("tasks", task.task_id)
    kind = _class(task.operator, folder, at)
    try:
        made = kind(task_id=task.task_id, **options, **task.arguments)
    except Exception as exc:
        raise refused(kind, (*at, "arguments"), exc) from exc
    if made.trigger_rule != "all_success":
        text = f"{task.operator} has the trigger rule {made.trigger_rule.value}: {_RULE}"
        raise BuildError([((*at, "operator"), text)])
    return made


def _class(dotted: str, folder: str, at: KeyPath) -> type[BaseOperator]:
    path = (*at, "operator")
    found = imported(dotted, folder, path)
    if not (isinstance(found, type) and issubclass(found, BaseOperator)):
        raise BuildError([(path, f"{dotted} is no operator of Airflow")])
    return found


def _argument_faults(kind: type[BaseOperator], arguments: dict[str, Any], at: KeyPath) -> Iterator[Fault]:
    known, needed = _parameters(kind)
    missing = [name for name in needed if name not in arguments]
    own = sorted(known - set(inspect.signature(BaseOperator.__init__).parameters))
    for key in arguments:
        if key not in known:
            near = did_you_mean(key, own)
            missing = [name for name in missing if repr(name) not in near]
            yield (*at, key), f"{kind.__name__} takes no {key!r}{near}"
    if missing:
        yield at, f"{kind.__name__} wants {' and '.join(map(repr, missing))}, too"


def _parameters(kind: type[BaseOperator]) -> tuple[set[str], list[str]]:
    """Return the arguments that a class takes, by its constructor and those that this one may hand them on to, and
    those that its own constructor wants.
    """
    known: set[str] = set()
    needed: list[str] | None = None
    for one in kind.__mro__:
        if "__init__" not in vars(one):
            continue
        # Airflow's wrapper round a constructor shows that one's own parameters.
        parameters = list(inspect.signature(one.__init__).parameters.values())[1:]  # type: ignore[misc]
        plain = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        known |= {p.name for p in plain}
        if needed is None:
            needed = [p.name for p in plain if p.default is p.empty and p.name != "task_id"]
        if one is BaseOperator or not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return known, needed or []

"""What a task of one's own may name and say, as far as that is known without Airflow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import KeyPath, nearest
from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.models import FreeTask, Pipeline
from airflow_mlops_provider.factory.placing import placement_faults
from airflow_mlops_provider.factory.planning import OPERATORS, stages_of
from airflow_mlops_provider.factory.secrets_rule import secret_faults
from airflow_mlops_provider.factory.trust import class_faults, connection_faults, own_class

__all__ = ["free_task_faults", "free_task_places"]

Fault = tuple[KeyPath, str]

# More would not be read by people; of as many as a file can hold, looking for circles would take minutes.
_MAX_TASKS, _MAX_NAMES = 50, 20
_SECTIONS = ("data", "training", "scoring", "monitoring")
_OPTION = "is a key of the task itself: write it beside `operator`"
_FILES = "is the pipeline file's own matter"
_RULE = "would let tasks run behind a refusal, or end its run well: a task runs when all that it waits for succeeded"
_PLACING = ("task_id", "dag", "task_group", "default_args", "doc", "doc_md", "owner", "start_date", "end_date")
_REFUSED = {
    **dict.fromkeys(("retries", "retry_delay", "execution_timeout", "pool"), _OPTION),
    **dict.fromkeys(_PLACING, _FILES),
    **dict.fromkeys(("inlets", "outlets"), "would wake the DAGs of others: assets are the pipeline file's own matter"),
    **dict.fromkeys(("upstream", "downstream", "upstream_task_ids", "downstream_task_ids"), "is `after` or `before`"),
    **dict.fromkeys(("trigger_rule", "depends_on_past", "wait_for_downstream"), _RULE),
    **dict.fromkeys(("run_as_user", "executor", "executor_config"), "is for the people who run Airflow to say"),
}


def free_task_faults(pipeline: Pipeline, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    """Yield names that are taken, operators that are not there or not allowed, and arguments that are not theirs."""
    if len(pipeline.tasks) > _MAX_TASKS:
        yield ("tasks",), f"more than {_MAX_TASKS} tasks"
        return
    for name, task in pipeline.tasks.items():
        at = ("tasks", name)
        for key in ("after", "before"):
            if len(getattr(task, key)) > _MAX_NAMES:
                yield (*at, key), f"more than {_MAX_NAMES} tasks"
        if name in OPERATORS or name in _SECTIONS:
            yield at, f"{name!r} is a name of the pipeline's own: choose another"
        for text in class_faults(task.operator, config, files=files):
            yield (*at, "operator"), text
        yield from _argument_faults(task, (*at, "arguments"), config, files)


def free_task_places(pipeline: Pipeline) -> Iterator[Fault]:
    """Yield what is wrong with `after` and `before`."""
    most = max((len(names) for task in pipeline.tasks.values() for names in (task.after, task.before)), default=0)
    if 0 < len(pipeline.tasks) <= _MAX_TASKS and most <= _MAX_NAMES:
        yield from placement_faults(stages_of(pipeline), pipeline.tasks)


def _argument_faults(task: FreeTask, at: KeyPath, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    for key in task.arguments:
        if key in _REFUSED:
            yield (*at, key), f"{key!r} {_REFUSED[key]}"
        elif key.startswith("on_") and key.endswith("_callback"):
            yield (*at, key), f"{key!r} takes a function: people are told by `notify`"
    yield from argument_faults(task.arguments, at, config)
    found = own_class(task.operator, files)
    if found is not None:
        yield from _constructor_faults(found, task, at)


def argument_faults(arguments: Any, at: KeyPath, config: FactoryConfig) -> Iterator[Fault]:
    """Yield connections that arguments may not name, and what looks like a secret in them."""
    for path, conn_id in _connections(arguments, at):
        for text in connection_faults(conn_id, config):
            yield path, text
    yield from secret_faults(arguments, at)


def _connections(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield each connection id that arguments name: text under `conn_id`, or under a key that ends like it."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and (key == "conn_id" or key.endswith("_conn_id")):
                yield (*path, key), item
            else:
                yield from _connections(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _connections(item, (*path, i))


def _constructor_faults(found: ast.ClassDef, task: FreeTask, at: KeyPath) -> Iterator[Fault]:
    """Yield what the constructor of a class of the bundle wants and is not given; more is known when it is built."""
    made = next((one for one in found.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    if made is None:
        return
    plain = [*made.args.posonlyargs, *made.args.args][1:]
    needed = [one.arg for one in plain[: len(plain) - len(made.args.defaults)]]
    needed += [a.arg for a, d in zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True) if d is None]
    known = [one.arg for one in (*plain, *made.args.kwonlyargs)]
    if made.args.kwarg is None and "task_id" not in known:
        text = f"{found.name}.__init__ takes no **kwargs, so Airflow could not give it its task_id"
        yield (*at[:-1], "operator"), text
        return
    missing = [name for name in needed if name not in task.arguments and name != "task_id"]
    for key in task.arguments:
        if key not in known and (near := nearest(key, missing)):
            yield (*at, key), f"{found.name} takes no {key!r}{near}"
            missing = [name for name in missing if repr(name) not in near]
    for name in missing:
        yield at, f"{found.name} wants {name!r}, too"

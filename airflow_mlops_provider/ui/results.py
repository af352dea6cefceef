"""What the pages show: stored results of one task instance, and what in the lake they name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from airflow.configuration import conf
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.show import Rows, ShowResult, ShowSpec
from airflow_mlops_provider.exceptions import DataError, MissingExtraError
from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.runners import Runner, runner_for
from airflow_mlops_provider.runners.base import request_for

__all__ = ["Instance", "history_of", "quarantined", "report_of", "result_of"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A task instance by its four names."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


def result_of(instance: Instance) -> dict[str, Any]:
    """Return what a task instance returned. Raises DataError where it returned nothing."""
    with create_session() as session:
        found = session.scalar(
            select(XComModel.value).where(XComModel.key == "return_value", *_of(XComModel, instance))
        )
    if not isinstance(found, dict):
        raise DataError(f"task {instance.task_id} has no result in this run")
    return found


def report_of(instance: Instance) -> str:
    """Return the newest drift report that a task wrote. Raises DataError where it wrote none."""
    paths = [line.get("report") for line in result_of(instance).get("batches", ()) if line.get("report")]
    if not paths:
        raise DataError(f"task {instance.task_id} wrote no report in this run")
    return str(_shown(instance, report=paths[-1]).report)


def quarantined(instance: Instance) -> tuple[Rows, ...]:
    """Return the first rows that a validation put aside, a table a dataset."""
    result = result_of(instance)
    references = [v["quarantine"] for v in result.get("datasets", {}).values() if v.get("quarantine")]
    tables = tuple(map(DatasetRef.model_validate, references))
    return _shown(instance, quarantine=tables, only_batch=result.get("batch")).tables if tables else ()


def history_of(instance: Instance) -> str:
    """Return the page of the monitoring history that a task wrote into. Raises DataError where it has no result."""
    result_of(instance)
    return str(_shown(instance, monitoring=True).monitoring)


def _shown(instance: Instance, **what: Any) -> ShowResult:
    """Run the step `show` on lake and pipeline of the task, by its own rendered arguments."""
    with create_session() as session:
        fields = session.scalar(
            select(RenderedTaskInstanceFields.rendered_fields).where(*_of(RenderedTaskInstanceFields, instance))
        )
    if fields is None and what.get("monitoring"):
        raise DataError("Airflow keeps the arguments of a DAG's last 30 runs: take the link of a newer one")
    # A step in a pod has its arguments one below.
    below = (fields or {}).get("spec")
    fields = {**(below if isinstance(below, dict) else {}), **(fields or {})}
    hook = LakeHook(lake=fields.get("lake"))
    root, store = hook.root(), hook.fields()
    if "://" not in root and not root.startswith("/"):
        raise DataError(f"the lake {root!r} is relative to the task's bundle, which this server does not have")
    spec = ShowSpec(pipeline=fields.get("pipeline") or instance.dag_id, lake=root, **what)
    connections = {"lake_default": store} if store else {}
    request = request_for("show", spec, run_key=f"show/{instance.dag_id}/{instance.run_id}", connections=connections)
    outcome = _runner().run(request, emit=lambda _message: None)
    if outcome.status != "succeeded":
        raise DataError(outcome.error or "what the task wrote cannot be read")
    return ShowResult.model_validate(outcome.result)


def _runner() -> Runner:
    """Return where the lake can be read: here, else in the first interpreter that Airflow's people allow."""
    if all(map(find_spec, ("deltalake", "duckdb"))):
        return runner_for("local")
    allowed = conf.get("mlops", "allowed_interpreters", fallback="").split(",")[0].strip()
    if not allowed:
        raise MissingExtraError("deltalake", "lake")
    return runner_for({"python": allowed})


def _of(model: Any, instance: Instance) -> list[Any]:  # SQLAlchemy's own types
    return [getattr(model, name) == getattr(instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")]

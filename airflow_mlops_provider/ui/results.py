"""What the pages show: stored results of one task instance, and what in the lake they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.hooks.lake import LakeHook

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.lake import Lake

__all__ = ["Instance", "Rows", "quarantined", "report_of", "result_of"]

# A page is for looking; who wants all rows reads the table.
SHOWN = 500


@dataclass(frozen=True, slots=True)
class Instance:
    """A task instance by its four names."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table, as text; `total` counts all of the batch."""

    table: str
    columns: list[str]
    lines: list[tuple[Any, ...]]
    total: int


def result_of(instance: Instance) -> dict[str, Any]:
    """Return what a task instance returned. Raises DataError where it returned nothing."""
    with create_session() as session:
        found = session.scalar(
            select(XComModel.value).where(XComModel.key == "return_value", *_of(XComModel, instance))
        )
    if not isinstance(found, dict):
        raise DataError(f"task {instance.task_id} has no result in this run")
    return found


def report_of(instance: Instance) -> bytes:
    """Return the newest drift report that a task wrote. Raises DataError where it wrote none."""
    paths = [line.get("report") for line in result_of(instance).get("batches", ()) if line.get("report")]
    # A result is what some task says: nothing but reports of this lake is read on its word.
    if not paths or not _below(paths[-1], "_reports") or not paths[-1].endswith(".html"):
        raise DataError(f"task {instance.task_id} wrote no report in this run")
    lake = _lake(instance)
    content = lake.get(f"{lake.root}/{paths[-1]}")
    if content is None:
        raise DataError(f"the report {paths[-1]} is not in the lake any more")
    return content


def quarantined(instance: Instance) -> list[Rows]:
    """Return the first rows that a validation put aside, a table a dataset."""
    result = result_of(instance)
    references = [v["quarantine"] for v in result.get("datasets", {}).values() if v.get("quarantine")]
    lake = _lake(instance)
    return [_rows(lake, ref["name"], ref["version"], result.get("batch")) for ref in references]


def _rows(lake: Lake, table: str, version: int, batch: str | None) -> Rows:
    import duckdb

    from airflow_mlops_provider.steps.lake import BATCH_COLUMN
    from airflow_mlops_provider.steps.sql import identifier

    if not _below(table, "quarantine"):
        raise DataError(f"{table!r} is no quarantine table")
    with duckdb.connect(config={"memory_limit": "200MB"}) as con:
        if not lake.view(con, "quarantine", table, version):
            raise DataError(f"the lake has no table {table!r} any more")
        of_batch = f"from quarantine where $1 is null or {identifier(BATCH_COLUMN)} = $1"
        (total,) = con.execute(f"select count(*) {of_batch}", [batch]).fetchone() or (0,)
        shown = con.execute(f"select columns(*)::varchar {of_batch} limit {SHOWN}", [batch])
        columns = [column[0] for column in shown.description]
        return Rows(table, columns, shown.fetchall(), total)


def _lake(instance: Instance) -> Lake:
    """Return the lake that the task worked in, by its own rendered argument."""
    with create_session() as session:
        fields = session.scalar(
            select(RenderedTaskInstanceFields.rendered_fields).where(*_of(RenderedTaskInstanceFields, instance))
        )
    return LakeHook(lake=(fields or {}).get("lake")).get_conn()


def _of(model: Any, instance: Instance) -> list[Any]:  # SQLAlchemy's own types
    return [getattr(model, name) == getattr(instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")]


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and ".." not in path.split("/")

"""Read from the lake what Airflow's pages show. A step, so that it runs where the tools are."""

from __future__ import annotations

import duckdb

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.show import Rows, ShowResult, ShowSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.monitoring_page import monitoring_page
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["show"]


def show(spec: ShowSpec, context: StepContext) -> ShowResult:
    """Return a report's HTML, the first rows of quarantine tables, and the page of a pipeline's monitoring history.

    What to show is what some task's result says: nothing but reports and quarantines is read on its word.
    Raises DataError for another path, and for what is not in the lake any more.
    """
    lake = context.lake(spec)
    return ShowResult(
        report=None if spec.report is None else _report(lake, spec.report),
        tables=tuple(_rows(lake, table, spec) for table in spec.quarantine),
        monitoring=monitoring_page(lake, spec.pipeline) if spec.monitoring else None,
    )


def _report(lake: Lake, path: str) -> str:
    if not _below(path, "_reports") or not path.endswith(".html"):
        raise DataError(f"{path!r} is no report")
    content = lake.get(f"{lake.root}/{path}")
    if content is None:
        raise DataError(f"the report {path} is not in the lake any more")
    return content.decode()


def _rows(lake: Lake, table: DatasetRef, spec: ShowSpec) -> Rows:
    if not _below(table.name, "quarantine") or not isinstance(table.version, int):
        raise DataError(f"{table.name!r} is no quarantine table")
    with duckdb.connect(config={"memory_limit": "200MB"}) as con:
        if not lake.view(con, "quarantine", table.name, table.version):
            raise DataError(f"the lake has no table {table.name!r} any more")
        of_batch = f"from quarantine where $1 is null or {identifier(BATCH_COLUMN)} = $1"
        (total,) = con.execute(f"select count(*) {of_batch}", [spec.only_batch]).fetchone() or (0,)
        shown = con.execute(f"select columns(*)::varchar {of_batch} limit {spec.most}", [spec.only_batch])
        columns = tuple(column[0] for column in shown.description)
        return Rows(table=table.name, columns=columns, lines=tuple(shown.fetchall()), total=total)


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/") and ".." not in path.split("/")

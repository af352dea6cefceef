"""Contract of what Airflow's pages show of the lake."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops_provider.contracts.base import Contract, DatasetRef, StepSpec

__all__ = ["Rows", "ShowResult", "ShowSpec"]


class ShowSpec(StepSpec):
    """What to show: a report, the first rows of quarantine tables, the monitoring history of `pipeline`."""

    report: str | None = Field(None, description="path of an HTML file below the lake's `_reports/`")
    quarantine: tuple[DatasetRef, ...] = Field((), description="tables below `quarantine/`")
    monitoring: bool = Field(False, description="make the page of the pipeline's monitoring history")
    only_batch: str | None = Field(None, description="show that batch's rows alone")
    most: int = Field(500, gt=0, description="rows of a table; who wants all reads the table")


class Rows(Contract):
    """Some rows of a table, as text; `total` counts all of the batch."""

    table: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str | None, ...], ...]
    total: int


class ShowResult(Contract):
    """What is there."""

    report: str | None = None
    tables: tuple[Rows, ...] = ()
    monitoring: str | None = None

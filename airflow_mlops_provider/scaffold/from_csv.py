"""From one CSV file to a pipeline that runs: `airflow-mlops init NAME --from data.csv --target churned`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.contracts.ingest import CsvDialect, Source
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import Kind, scratch
from airflow_mlops_provider.scaffold.csv_file import csv_file
from airflow_mlops_provider.scaffold.folder import LOADER, Place
from airflow_mlops_provider.scaffold.found import Found, found_in
from airflow_mlops_provider.scaffold.pipeline_text import pipeline_text, readme_text
from airflow_mlops_provider.scaffold.split import Split, split
from airflow_mlops_provider.scaffold.suite import suggested
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["Made", "from_csv"]

IGNORED = "data/\nexpectations/\n"


class Made:
    """What was found and how the rows went to batches."""

    def __init__(self, found: Found, parts: Split) -> None:
        self.found, self.parts = found, parts


def from_csv(place: Place, source: Path, target: str, time: str | None, today: date) -> Made:
    """Write the pipeline's folder and return what was found.

    Raises DataError for a file that no pipeline can be made of, ConfigError where files would be overwritten; then
    nothing is written. Raises MissingExtraError without DuckDB or Arrow.
    """
    with place.filling() as folder:
        file = csv_file(source)
        with scratch() as con:
            found = found_in(con, file, target, time, today)
            (folder / "data").mkdir()
            parts = split(file, found.schedule, found.key, folder / "data")
            found = replace(found, types=_types(found, folder))
            suite = _suite(con, found, place.name, gaps=0 in parts.rows)
        (folder / "expectations").mkdir()
        said = json.dumps(suite, indent=2, ensure_ascii=False, allow_nan=False)
        _write(folder / "expectations" / f"{place.name}.json", f"{said}\n")
        _write(folder / f"{place.name}.yaml", pipeline_text(found, place))
        _write(folder / f"{place.name}.py", LOADER.format(name=place.name))
        _write(folder / "README.md", readme_text(found, place))
        _write(folder / ".airflowignore", IGNORED)
        return Made(found, parts)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _suite(con: duckdb.DuckDBPyConnection, found: Found, name: str, *, gaps: bool) -> dict[str, object]:
    """Return the suite of what the pipeline uses; what is left out may come or go."""
    used = {*found.features, *found.key, *([found.schedule.by] if found.schedule.by else [])}
    columns = [column for column in found.columns if column.name in used]
    return suggested(
        con,
        name,
        columns,
        found.key,
        always=[found.schedule.by] if found.schedule.by else [],
        by_batch=_batch_of(found),
        gaps=gaps,
    )


def _batch_of(found: Found) -> str | None:
    """Return an SQL expression of a row's batch."""
    if found.schedule.by is None:
        return None
    moment = f"{identifier(found.schedule.by)}::timestamptz"
    starts = ", ".join(f"timestamptz '{batch.start.isoformat()}'" for batch in found.schedule.batches)
    return f"len(list_filter([{starts}], lambda s: s <= {moment}))"


def _types(found: Found, folder: Path) -> dict[str, Kind]:
    """Return the kinds that ingest would not find by itself in the first batch, which decides for all that follow."""
    first = _first_schema(found, folder)
    wanted: dict[str, Kind] = {column.name: column.kind for column in found.columns}
    if found.target.positive is not None:
        wanted[found.target.name] = "boolean"
    if found.schedule.by and wanted[found.schedule.by] == "date":
        wanted[found.schedule.by] = "timestamp"  # as steps want an event's time
    return {name: kind for name, kind in wanted.items() if _kind(first.field(name).type) != kind}


def _first_schema(found: Found, folder: Path) -> pa.Schema:
    from airflow_mlops_provider.steps.context import StepContext
    from airflow_mlops_provider.steps.sources import read_source

    target = found.target
    dialect = CsvDialect(
        delimiter=found.file.delimiter,
        decimal_point="," if found.decimal_point == "," else ".",
        true_values=(target.positive,) if target.positive else (),
        false_values=(target.negative,) if target.negative else (),
    )
    batch = found.schedule.batches[0]
    source = Source(files="data/{batch}.csv", csv=dialect)
    table = next(read_source("data", source, batch, StepContext("init"), bundle=str(folder)), None)
    if table is None:
        raise DataError(f"{found.file.path}: nothing to read in {batch.id}")
    return table.schema


def _kind(kind: pa.DataType) -> str:
    import pyarrow.types as is_

    if is_.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    named = {"boolean": is_.is_boolean, "integer": is_.is_integer, "number": is_.is_floating, "date": is_.is_date}
    named["text"] = lambda kind: is_.is_string(kind) or is_.is_null(kind)
    return next((name for name, fits in named.items() if fits(kind)), "other")

"""What was found in a CSV file, as far as a pipeline needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import TABLE, Column, Kind, columns_of, load_csv
from airflow_mlops_provider.scaffold.csv_file import CsvFile
from airflow_mlops_provider.scaffold.heldout import holdout
from airflow_mlops_provider.scaffold.key import ROW_ID, key_of
from airflow_mlops_provider.scaffold.leaks import LeftOut, left_out
from airflow_mlops_provider.scaffold.schedule import Schedule, dealt, timed
from airflow_mlops_provider.scaffold.target import Target, target_of
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    from datetime import date

    import duckdb

__all__ = ["Found", "found_in"]


@dataclass(frozen=True, slots=True)
class Found:
    """A file's columns and what each is for; `key` is empty where no column names a row.

    `twins` are the rows that are another one's equal in every column.
    """

    file: CsvFile
    decimal_point: str
    columns: tuple[Column, ...]
    target: Target
    schedule: Schedule
    holdout: str
    key: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    twins: int = 0
    types: dict[str, Kind] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that a model sees, in the file's order."""
        out = {self.target.name, *(one.name for one in self.left_out)}
        return tuple(column.name for column in self.columns if column.name not in out)

    @property
    def unique_key(self) -> tuple[str, ...]:
        """The columns that name a row in what is written."""
        return self.key or (ROW_ID,)


def found_in(con: duckdb.DuckDBPyConnection, file: CsvFile, target: str, time: str | None, today: date) -> Found:
    """Read `file` into `con` and return what is in it. Raises DataError for what no pipeline can be made of."""
    point = load_csv(con, file)
    columns = columns_of(con)
    aim = target_of(con, columns, target)
    if time == target:
        raise DataError(f"{target!r} cannot be the target and the time")
    schedule = timed(con, columns, time) if time else dealt(today)
    key = key_of(con, columns, target)
    if not key and ROW_ID in {name.lower() for name in file.columns}:
        raise DataError(f"no column names a row, and {ROW_ID!r}, which would be put in, is there and is not unique")
    found = Found(
        file,
        point,
        columns,
        aim,
        schedule,
        holdout(con, schedule, aim),
        key,
        left_out(con, columns, aim, key, time),
        0 if key else _twins(con, columns),
    )
    if not found.features:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in found.left_out)
        raise DataError(f"no column is left to predict {target!r} by: {reasons}")
    return found


def _twins(con: duckdb.DuckDBPyConnection, columns: tuple[Column, ...]) -> int:
    names = ", ".join(identifier(column.name) for column in columns)
    return int(con.execute(f"select count(*) - count(distinct hash({names})) from {TABLE}").fetchall()[0][0])

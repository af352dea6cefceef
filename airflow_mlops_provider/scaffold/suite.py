"""A suite of expectations that data suggest: loose, so that tomorrow's data pass, each with its evidence."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import TABLE, Column, columns_of, load_csv, load_parquet, scratch
from airflow_mlops_provider.scaffold.csv_file import csv_file
from airflow_mlops_provider.scaffold.key import key_of
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

__all__ = ["suggested", "suggested_from"]

# So few values are taken for all there are; a new one is told and lets the row pass.
_MOST_VALUES = 20
_FEWEST_ROWS_A_VALUE = 10
# A column with fewer values is too often null to say how often that is.
_FEWEST_PRESENT = 0.2


def suggested_from(path: Path) -> dict[str, Any]:
    """Return a suite for a CSV or Parquet file, as JSON. Raises DataError for a file that is neither."""
    with scratch() as con:
        if path.suffix == ".parquet":
            load_parquet(con, path)
        else:
            load_csv(con, csv_file(path))
        columns = columns_of(con)
        if not columns[0].rows:
            raise DataError(f"{path} has no row: nothing can be suggested")
        return suggested(con, path.stem, columns, key_of(con, columns, ""))


def suggested(
    con: duckdb.DuckDBPyConnection,
    name: str,
    columns: Sequence[Column],
    key: Sequence[str],
    *,
    always: Collection[str] = (),
    by_batch: str | None = None,
    gaps: bool = False,
) -> dict[str, Any]:
    """Return the suite of `columns` as JSON.

    `key` names a row and `always` are columns that are never null. `by_batch` is an SQL expression of a row's batch:
    what is said of shares is then what the poorest of the batches has. `gaps` says that a batch may have no row.
    """
    claims = []
    if not gaps:
        rows = {"min_value": 1}
        claims.append(_claim("expect_table_row_count_to_be_between", "rows of the batch", rows, "no batch was empty"))
    names = [column.name for column in columns]
    claims.append(
        _claim(
            "expect_table_columns_to_match_set",
            "columns",
            {"column_set": names, "exact_match": False},
            "more columns may come",
        )
    )
    for column in columns:
        required = column.name in {*key, *always}
        claims += _of_column(con, column, required, by_batch, shares=not gaps)
    if len(key) == 1:
        claims.append(_claim("expect_column_values_to_be_unique", f"{key[0]} twice", {"column": key[0]}, "the key"))
    elif key:
        twice = f"{', '.join(key)} twice"
        claims.append(_claim("expect_compound_columns_to_be_unique", twice, {"column_list": [*key]}, "the key"))
    return {"name": name, "expectations": claims}


def _of_column(
    con: duckdb.DuckDBPyConnection, column: Column, required: bool, by_batch: str | None, *, shares: bool
) -> list[Any]:
    if not column.values:
        return []
    claims = []
    if required and not column.nulls:
        about, seen = f"{column.name} is missing", f"none of {column.rows:,} rows"
        claims.append(_claim("expect_column_values_to_not_be_null", about, {"column": column.name}, seen))
    elif shares:
        # An empty batch has a share of 0.
        claims.append(_present(con, column, by_batch))
    if column.numeric and not required and column.values > 2:
        claims.append(_range(column))
    claims.append(_levels(con, column))
    return [claim for claim in claims if claim is not None]


def _present(con: duckdb.DuckDBPyConnection, column: Column, by_batch: str | None) -> Any:
    name = identifier(column.name)
    grouped = f"group by {by_batch}" if by_batch else ""
    shares = f"select count({name}) / count(*) as share from {TABLE} {grouped}"
    least = con.execute(f"select min(share) from ({shares})").fetchall()[0][0] if column.nulls else 1.0
    if least < _FEWEST_PRESENT:
        return None
    bound = int(least * 50) / 100
    where = "in the poorest batch" if by_batch else f"of {column.rows:,} rows"
    return _claim(
        "expect_column_proportion_of_non_null_values_to_be_between",
        f"{column.name} is mostly missing",
        {"column": column.name, "min_value": bound},
        f"half of what was seen: {least:.1%} {where} have a value",
    )


def _range(column: Column) -> Any:
    """Return bounds as far again outside as the values lie apart; what never was below 0 stays there.

    None where a value is no finite number, or a bound would be none.
    """
    number = int if column.kind == "integer" else float
    low, high = number(column.low), number(column.high)  # type: ignore[arg-type]  # of a numeric column
    width = high - low
    if not (math.isfinite(low - width) and math.isfinite(high + width)):
        return None
    least = 0 if low >= 0 else low - width
    bounds = {"min_value": _short(least, width), "max_value": _short(high + width, width)}
    seen = (
        f"{_short(low, width)} to {_short(high, width)} in {column.rows - column.nulls:,} rows, widened by that width"
    )
    about = f"{column.name} far outside what was seen"
    return _claim("expect_column_values_to_be_between", about, {"column": column.name, **bounds}, seen)


def _levels(con: duckdb.DuckDBPyConnection, column: Column) -> Any:
    """Return the set of a column's few values, as a warning: a new one is told and lets the row pass."""
    if column.kind != "text" or column.values > _MOST_VALUES:
        return None
    if column.rows - column.nulls < _FEWEST_ROWS_A_VALUE * column.values:
        return None
    name = identifier(column.name)
    found = con.execute(
        f"select {name}, count(*) from {TABLE} where {name} is not null group by 1 order by 1"
    ).fetchall()
    # Parquet has times, mappings and bytes, too, which JSON has not.
    if not all(isinstance(value, str) for value, _ in found):
        return None
    seen = f"{len(found)} values, the rarest in {min(count for _, count in found):,} rows"
    kwargs = {"column": column.name, "value_set": [value for value, _ in found]}
    return _claim("expect_column_values_to_be_in_set", f"{column.name} is a new value", kwargs, seen, "warning")


def _claim(kind: str, about: str, kwargs: dict[str, Any], seen: str, severity: str = "critical") -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity, "meta": {"notes": seen}, "description": about}


def _short(value: float, width: float) -> int | float:
    """Return a number to a hundredth of `width` or finer, whole where it is."""
    rounded = round(value, 2 - math.floor(math.log10(width)))
    return int(rounded) if abs(rounded) < 1e15 and rounded == int(rounded) else rounded

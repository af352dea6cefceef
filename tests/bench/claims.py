"""A suite's claims as one aggregate query and as one condition, without names or reasons: the least that checks."""

from __future__ import annotations

from typing import Any

__all__ = ["broken", "query"]


def query(suite: dict[str, Any]) -> str:
    """Return a query of `batch` with one figure a claim of the suite (those on the columns' names have none)."""
    parts = [part for claim in suite["expectations"] if (part := _figure(claim["type"], claim["kwargs"]))]
    return f"select {', '.join(parts)} from batch"


def broken(suite: dict[str, Any]) -> str:
    """Return the condition of the rows that break a critical claim on rows."""
    rows = [c for c in suite["expectations"] if c.get("severity", "critical") == "critical"]
    parts = [part for claim in rows if (part := _condition(claim["type"], claim["kwargs"]))]
    return " or ".join(f"coalesce({part}, false)" for part in parts) or "false"


def _condition(kind: str, given: dict[str, Any]) -> str:
    column, low, high = given.get("column"), given.get("min_value"), given.get("max_value")
    if kind == "unexpected_rows_expectation":
        return str(given["unexpected_rows_query"].partition(" WHERE ")[2])
    return {
        "expect_column_values_to_not_be_null": f"{column} is null",
        "expect_column_values_to_be_between": f"{column} not between {low} and {high}",
        "expect_column_values_to_be_in_set": f"{column} not in {_listed(given)}",
        "expect_column_values_to_match_regex": f"not regexp_matches({column}, '{given.get('regex')}')",
        "expect_column_value_lengths_to_be_between": f"length({column}) not between {low} and {high}",
    }.get(kind, "")


def _figure(kind: str, given: dict[str, Any]) -> str:
    if condition := _condition(kind, given):
        return f"count(*) filter (where {condition})"
    column, listed = given.get("column"), ", ".join(given.get("column_list", ()))
    return {
        "expect_table_row_count_to_be_between": "count(*)",
        "expect_column_values_to_be_unique": f"count({column}) - count(distinct {column})",
        "expect_compound_columns_to_be_unique": f"count(*) - count(distinct ({listed}))",
        "expect_column_proportion_of_non_null_values_to_be_between": f"count({column}) / count(*)",
        "expect_column_mean_to_be_between": f"avg({column})",
    }.get(kind, "")


def _listed(given: dict[str, Any]) -> str:
    return "(" + ", ".join(f"'{v}'" if isinstance(v, str) else str(v) for v in given.get("value_set", [""])) + ")"

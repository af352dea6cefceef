"""Texts that people mean as numbers or times, in a form that no reader takes for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops_provider.scaffold.columns import TABLE, Column, but_empty
from airflow_mlops_provider.steps.sql import identifier, literal

if TYPE_CHECKING:
    import duckdb

__all__ = ["unread"]

# What people and their programs write: what all values look like, what at least one has, and what that is.
_FORMS = (
    (
        r"[-+]?\d{1,3}([.,' ]\d{3})*([.,]\d+)?",
        r"[.,' ]",
        "numbers with a thousands' sign or another decimal sign, read as text",
    ),
    (
        r"[-+]?\s*(\p{Sc}|%)?\s*[-+]?\d[\d.,' ]*\s*(\p{Sc}|%)?",
        r"[%\p{Sc}]",
        "numbers with a unit or a sign, read as text",
    ),
    (
        r"(\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./-]\d{1,2}[./-]\d{1,2})([ T].*)?",
        r"[./-]",
        "a time that is not written as 2026-01-31, read as text",
    ),
)
_CALLED = {
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "date": "days",
    "timestamp": "times",
    "timestamptz": "times",
}


def unread(con: duckdb.DuckDBPyConnection, column: Column) -> str | None:
    """Return what a text column really is, with an example; None of one that is a text."""
    name = f"{identifier(column.name)}::varchar"
    for pattern, sign, what in _FORMS:
        example, others = con.execute(
            f"select min({name}) filter (regexp_matches({name}, {literal(sign)})), "
            f"count_if(not regexp_full_match(trim({name}), {literal(pattern)})) from {TABLE}"
        ).fetchall()[0]
        if example is not None and not others:
            return f"{what}: {example!r}"
    empty = con.execute(f"select count_if({name} = '') from {TABLE}").fetchall()[0][0]
    if empty and (kind := but_empty(con, column.name)) != "text":
        return f"{_CALLED[kind]}, text only because of {empty:,} quoted empty fields: leave them unquoted"
    return None

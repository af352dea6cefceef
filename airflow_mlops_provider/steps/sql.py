"""Quoting for SQL, and for MLflow's filters, composed here. Values are bound wherever the engine can bind them."""

from __future__ import annotations

__all__ = ["filter_value", "identifier", "literal"]


def identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a SQL string literal, for places that take no bound value (a view's body)."""
    return "'" + text.replace("'", "''") + "'"


def filter_value(text: str) -> str:
    """Return `text` as a value in a filter of MLflow's, which knows no escape: both quotes in it are its error."""
    return f'"{text}"' if "'" in text else f"'{text}'"

"""Quoting for SQL that is composed here. Values are bound wherever the engine can bind them."""

from __future__ import annotations

__all__ = ["identifier", "literal"]


def identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a SQL string literal, for places that take no bound value (a view's body)."""
    return "'" + text.replace("'", "''") + "'"

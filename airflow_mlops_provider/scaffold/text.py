"""Texts of this package with names put in: a placeholder is a name and nothing else, and nothing is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from string import Template

__all__ = ["filled", "printable"]

# Before a remark that goes to a column of its own, whatever was put in before it.
_REMARK = " #| "
_COLUMN = 42


def filled(name: str, values: Mapping[str, str]) -> str:
    """Return the text `name` with `values` in the place of its `$placeholders`; remarks stand in one column."""
    lines = files(__package__).joinpath("texts", name).read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(_line(line, values) for line in lines)


def printable(text: str) -> str:
    """Return a text with a blank for what cannot be printed, such as the line ends that only YAML knows."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _line(line: str, values: Mapping[str, str]) -> str:
    code, sign, remark = line.partition(_REMARK)
    put = Template(code).substitute(values)
    return f"{put.rstrip():{_COLUMN - 1}} # {Template(remark).substitute(values)}" if sign else put

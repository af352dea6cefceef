"""A part of a pipeline file as block YAML, for the documentation of DAGs and tasks.

Not by PyYAML's dumpers: the two of them quote and fold some texts differently, so a DAG would depend on where it is
read, and the one that is always there takes a third of a file's whole time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["fragment"]

# What any reader of YAML takes for this very text.
_PLAIN = re.compile(r"[A-Za-z_][\w./@{}*-]*(?: [\w./@-]+)*", re.ASCII)
_OTHER = re.compile(r"true|false|null|yes|no|on|off|y|n", re.IGNORECASE)
_LINES = re.compile(r"[^\s][^\n]*(?:\n+[^\n]+)*\n?")


def fragment(value: Any) -> str:
    """Return plain values as YAML, mappings and lists one entry a line; it depends on the value alone."""
    return "".join(f"{line}\n" for line in _block(value))


def _block(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _entry(f"{_scalar(key)}:", item)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _item(item)
    else:
        yield _scalar(value)


def _entry(head: str, item: Any) -> Iterator[str]:
    if isinstance(item, (dict, list)) and item:
        yield head
        # YAML lets a list stand at the margin of its key.
        yield from (f"  {line}" for line in _block(item)) if isinstance(item, dict) else _block(item)
    elif isinstance(item, str) and "\n" in item and _LINES.fullmatch(item) and item.replace("\n", "").isprintable():
        yield f"{head} {'|' if item.endswith(chr(10)) else '|-'}"
        yield from (f"  {line}" if line else "" for line in item.splitlines())
    else:
        yield f"{head} {_scalar(item)}"


def _item(item: Any) -> Iterator[str]:
    first, *others = _block(item)
    yield f"- {first}"
    yield from (f"  {line}" if line else "" for line in others)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and not _OTHER.fullmatch(value) else _quoted(value)
    return json.dumps(value)


def _quoted(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return shown if shown.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in shown)

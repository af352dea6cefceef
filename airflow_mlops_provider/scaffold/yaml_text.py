"""Pieces of YAML that are read by people: names, lists and mappings in one line, or wrapped."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence

from airflow_mlops_provider.scaffold.text import printable

__all__ = ["comment", "listed", "mapped", "scalar"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What YAML, of one version or another, takes for something else than text.
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_WIDTH = 112


def scalar(text: str) -> str:
    """Return a text as YAML: plain where nothing else can be meant, else in double quotes."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def listed(texts: Sequence[str], indent: int) -> str:
    """Return a list as YAML in brackets; a longer one goes on in lines of `indent` spaces and two more."""
    items = [scalar(text) for text in texts]
    line = f"[{', '.join(items)}]"
    if len(line) + indent <= _WIDTH:
        return line
    lines, margin = [""], " " * (indent + 2)
    for item in items:
        if len(margin) + len(lines[-1]) + len(item) + 2 > _WIDTH and lines[-1]:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{item},"
    return "\n".join(["[", *(f"{margin}{part}" for part in lines), f"{' ' * indent}]"])


def mapped(pairs: Mapping[str, str]) -> str:
    """Return a mapping in braces; the values are YAML already."""
    return f"{{{', '.join(f'{scalar(key)}: {value}' for key, value in pairs.items())}}}"


def comment(text: str, indent: int) -> str:
    """Return a text as comment lines of `indent` spaces."""
    margin = f"{' ' * indent}# "
    text = printable(text)
    return textwrap.fill(text, _WIDTH, initial_indent=margin, subsequent_indent=f"{margin}  ", break_on_hyphens=False)

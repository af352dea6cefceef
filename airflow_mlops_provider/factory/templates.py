"""Jinja in a pipeline file: the run's own fields and `params`, and nothing that reads Airflow's secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.errors import KeyPath
from airflow_mlops_provider.factory.plan_data import RESULT

__all__ = ["FIELDS", "rendered", "run_fields", "template_faults"]

FIELDS = (
    "data_interval_end",
    "data_interval_start",
    "ds",
    "ds_nodash",
    "logical_date",
    "run_id",
    "ts",
    "ts_nodash",
)
_SHAPES: dict[str, Callable[[datetime], str]] = {
    "ds": lambda moment: moment.strftime("%Y-%m-%d"),
    "ds_nodash": lambda moment: moment.strftime("%Y%m%d"),
    "ts": lambda moment: moment.isoformat(),
    "ts_nodash": lambda moment: moment.strftime("%Y%m%dT%H%M%S"),
}
_OPEN = re.compile(r"\{[{%#]")
_CLOSE = {"{{": "}}", "{%": "%}", "{#": "#}"}
# Characters of a template that an error shows.
_SHOWN = 60
_EXPRESSION = re.compile(
    rf"\{{\{{-?\s*(?:{'|'.join(FIELDS)}|params\.[a-z][a-z0-9_]*)\s*(?:\|\s*(?:{'|'.join(_SHAPES)})\s*)?-?\}}\}}"
)


def template_faults(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield (path, message) for every template below `value` that is more than a run's field or a parameter."""
    if isinstance(value, dict):
        if RESULT in value:
            yield (*path, RESULT), f"{RESULT!r} is this package's own key: it names another task's result"
        for key, item in value.items():
            yield from template_faults(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from template_faults(item, (*path, i))
    elif isinstance(value, str):
        for start, end in _tokens(value):
            token = value[start:end]
            if not _EXPRESSION.fullmatch(token):
                shown = token if len(token) <= _SHOWN else f"{token[: _SHOWN - 3]}..."
                yield path, f"template {shown!r} {_refusal(token)}"


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each template; one that nobody closes is its two opening characters.

    In time linear in the text: a pattern that looks for the end of each opening needs minutes for `{{{{{{...`.
    """
    last = {close: text.rfind(close) for close in _CLOSE.values()}
    done = 0
    for found in _OPEN.finditer(text):
        start, inside = found.span()
        if start < done:
            continue
        close = _CLOSE[found[0]]
        done = text.index(close, inside) + 2 if last[close] >= inside else inside
        yield start, done


def _refusal(token: str) -> str:
    if found := re.search(r"\b(conn|var)\b", token):
        instead = "name the connection by `conn_id`" if found[1] == "conn" else "write the value, or one an environment"
        return f"is not allowed: a file reads no connection and no variable of Airflow; {instead}"
    return f"is not allowed; a file may use {', '.join(FIELDS)}, params.NAME"


def rendered(value: Any, fields: dict[str, Any]) -> Any:
    """Return `value` with its checked templates replaced, as Airflow would for a run with these `fields`.

    Raises ConfigError for a field or parameter that is not among them.
    """
    if isinstance(value, dict):
        return {key: rendered(item, fields) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item, fields) for item in value]
    if isinstance(value, str):
        text, done = "", 0
        for start, end in _tokens(value):
            text += value[done:start] + _rendered(value[start:end], fields)
            done = end
        return text + value[done:]
    return value


def run_fields(run_id: str, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    """Return Airflow's fields of a run over a data interval; `ds` and its like are in UTC, as there."""
    fields: dict[str, Any] = {"run_id": run_id}
    if start is not None and end is not None:
        logical = start.astimezone(UTC)
        fields |= {"data_interval_start": logical, "data_interval_end": end.astimezone(UTC), "logical_date": logical}
        fields |= {name: shape(logical) for name, shape in _SHAPES.items()}
    return fields


def _rendered(token: str, fields: dict[str, Any]) -> str:
    name, _, shape = (part.strip() for part in token.strip("{}-").partition("|"))
    if name not in fields:
        raise ConfigError(f"template {token!r}: this run has no {name}; it has {', '.join(sorted(fields))}")
    return str(_SHAPES[shape](fields[name]) if shape else fields[name])

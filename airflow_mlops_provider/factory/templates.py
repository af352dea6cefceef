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
_TOKEN = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\{\{|\{%|\{#", re.DOTALL)
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
        for token in _TOKEN.findall(value):
            if not _EXPRESSION.fullmatch(token):
                allowed = f"{', '.join(FIELDS)}, params.NAME"
                yield path, f"template {token!r} is not allowed; a file may use {allowed}"


def rendered(value: Any, fields: dict[str, Any]) -> Any:
    """Return `value` with its checked templates replaced, as Airflow would for a run with these `fields`.

    Raises ConfigError for a field or parameter that is not among them.
    """
    if isinstance(value, dict):
        return {key: rendered(item, fields) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item, fields) for item in value]
    if isinstance(value, str):
        return _TOKEN.sub(lambda token: _rendered(token[0], fields), value)
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

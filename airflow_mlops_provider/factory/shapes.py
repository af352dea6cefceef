"""Walk YAML values beside the models' annotations: durations, `local`, `expanding`, and keys that nobody knows."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from airflow_mlops_provider.factory.errors import KeyPath
from airflow_mlops_provider.factory.options import RunsOn

__all__ = ["DURATION", "duration", "duration_text", "plain", "shaped", "unknown_keys"]

DURATION = "([1-9][0-9]{0,5})([smhdw])"
_DURATION = re.compile(DURATION)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(text: object) -> timedelta | None:
    """Return what `15m`, `6h` or `14d` says; None if it says nothing."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def duration_text(value: timedelta) -> str | None:
    """Return how a file says a duration, in the largest unit below weeks; None for no time at all."""
    seconds = int(value.total_seconds())
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}" if seconds else None


def shaped(value: Any, kind: Any, key: str = "") -> Any:
    """Return `value` with its durations in ISO 8601, `local` as an empty RunsOn and `expanding` as null.

    What does not fit is left for the models to refuse; a duration written otherwise is made to fail there.
    """
    kind = plain(kind)
    if kind is timedelta or (isinstance(value, str) and timedelta in map(plain, get_args(kind))):
        if value is None or (key == "window" and value == "expanding"):
            return None
        found = duration(value)
        return f"PT{int(found.total_seconds())}S" if found else "?"
    if kind is RunsOn and value == "local":
        return {}
    if isinstance(value, dict):
        return {key: shaped(item, _child(kind, key), key) for key, item in value.items()}
    if isinstance(value, list):
        return [shaped(item, _child(kind, 0)) for item in value]
    return value


def unknown_keys(value: Any, kind: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str, list[str]]]:
    """Yield (path, key, known keys) for each key that its model does not have."""
    kind = plain(kind)
    if isinstance(value, dict):
        known = _keys(kind)
        for key, item in value.items():
            if known is not None and key not in known:
                yield path, key, sorted(known)
            else:
                yield from unknown_keys(item, _child(kind, key), (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from unknown_keys(item, _child(kind, 0), (*path, i))


def _keys(kind: Any) -> dict[str, Any] | None:
    """Return the annotations of a model by the key that the YAML writes; None for anything else.

    Of a value that may be a model or something else they are the model's: it is asked for a mapping.
    """
    if get_origin(kind) in (Union, types.UnionType):
        return next((found for one in get_args(kind) if (found := _keys(one)) is not None), None)
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return None
    return _annotations(kind)


@cache  # asked at each value of a file, twice
def _annotations(model: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: plain(info.annotation) for name, info in model.model_fields.items()}


def _child(kind: Any, key: str | int) -> Any:
    keys = _keys(kind)
    if keys is not None:
        return keys.get(str(key))
    arguments = get_args(kind)
    if get_origin(kind) is dict and isinstance(key, str):
        return arguments[1]
    if get_origin(kind) in (tuple, list) and isinstance(key, int):
        return arguments[0]
    return None


def plain(kind: Any) -> Any:
    """Return an annotation without Annotated, and without None beside one other type."""
    if get_origin(kind) is Annotated:
        return plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        return plain(options[0]) if len(options) == 1 else kind
    return kind

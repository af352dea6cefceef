"""Walk YAML values beside the models' annotations: durations, `local`, `expanding`, and keys that nobody knows."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from airflow_mlops_provider.factory.errors import KeyPath
from airflow_mlops_provider.factory.options import RunsOn

__all__ = ["did_you_mean", "duration", "shaped", "unknown_keys"]

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def duration(text: object) -> timedelta | None:
    """Return what `15m`, `6h` or `14d` says; None if it says nothing."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def shaped(value: Any, kind: Any) -> Any:
    """Return `value` with its durations in ISO 8601, `local` as an empty RunsOn and `expanding` as null.

    What does not fit is left for the models to refuse; a duration written otherwise is made to fail there.
    """
    kind, nullable = _plain(kind)
    if kind is timedelta:
        if value is None or (nullable and value == "expanding"):
            return None
        found = duration(value)
        return f"PT{int(found.total_seconds())}S" if found else "?"
    if kind is RunsOn and value == "local":
        return {}
    if isinstance(value, dict):
        children = {key: _child(kind, key) for key in value}
        return {key: shaped(item, children[key]) for key, item in value.items()}
    if isinstance(value, list):
        return [shaped(item, _child(kind, 0)) for item in value]
    return value


def unknown_keys(value: Any, kind: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str, list[str]]]:
    """Yield (path, key, known keys) for each key that its model does not have."""
    kind, _ = _plain(kind)
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


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known word, or what is known, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f". Did you mean {near[0]!r}?"
    return f". Known: {', '.join(known)}" if known else ""


def _keys(kind: Any) -> dict[str, Any] | None:
    """Return the annotations of a model by the key that the YAML writes; None for anything else."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return None
    return {info.alias or name: info.annotation for name, info in kind.model_fields.items()}


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


def _plain(kind: Any) -> tuple[Any, bool]:
    """Return an annotation without Annotated and None, and whether null is allowed."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        nullable = len(options) < len(get_args(kind))
        return (_plain(options[0])[0], nullable) if len(options) == 1 else (kind, nullable)
    return kind, False

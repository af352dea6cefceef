"""Label and field selectors, as list, watch and the script of faults take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.status import bad_request

__all__ = ["field_selector", "label_selector"]

_SET_BASED = re.compile(r"^(?P<key>\S+)\s+(?P<verb>in|notin)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s=!]+)\s*(?P<verb>==|=|!=)\s*(?P<value>[^\s=!]*)$")
_PRESENT = re.compile(r"^(?P<absent>!?)\s*(?P<key>[A-Za-z0-9._/-]+)$")

Holds = Callable[[Mapping[str, str]], bool]


def label_selector(text: str) -> Callable[[Json], bool]:
    """Return the test whether an object's labels match `text`. Raises ApiError 400 if it cannot be read."""
    tests = [_requirement(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda item: all(holds(item["metadata"].get("labels") or {}) for holds in tests)


def _requirement(part: str) -> Holds:
    if found := _SET_BASED.match(part):
        values = {value.strip() for value in found["values"].split(",")}
        return _among(found["key"], values, wanted=found["verb"] == "in")
    if found := _EQUAL.match(part):
        return _among(found["key"], {found["value"]}, wanted=found["verb"] != "!=")
    if found := _PRESENT.match(part):
        key, present = found["key"], not found["absent"]
        return lambda labels: (key in labels) == present
    raise bad_request(f'unable to parse requirement: found "{part}", expected: a label selector')


def _among(key: str, values: set[str], *, wanted: bool) -> Holds:
    # An absent label satisfies `!=` and `notin`, as in Kubernetes.
    return lambda labels: (labels.get(key) in values) == wanted


def field_selector(text: str) -> Callable[[Json], bool]:
    """Return the test whether an object's fields match `text`: `a.b=c`, `a.b!=c`, joined by commas."""
    tests = []
    for part in filter(None, text.split(",")):
        found = _EQUAL.match(part.strip())
        if not found:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        tests.append((found["key"].split("."), found["value"], found["verb"] != "!="))
    return lambda item: all((_field(item, path) == value) == wanted for path, value, wanted in tests)


def _field(item: Json, path: list[str]) -> str:
    for name in path:
        item = item.get(name) or {}
    return str(item) if item else ""

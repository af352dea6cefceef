"""One file, several pipelines: one for each combination of its matrix, with its parameters put in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError, nearest
from airflow_mlops_provider.factory.load import MAX_VALUES, Document
from airflow_mlops_provider.factory.parameters import APART, TYPES, Filled, Value, is_of, used

__all__ = ["MAX_EXPANDED", "Variant", "unused_errors", "variants", "waits_for_environment"]

_MAX_PIPELINES = 200
_MAX_PARAMETERS = 100
# With its parameters; a longer one is no name.
_MAX_NAME = 1_000
# Values of all pipelines of a file together.
MAX_EXPANDED = 5 * MAX_VALUES


@dataclass(frozen=True)
class Variant:
    """One pipeline of a file, and what is wrong with its parameters. At a place in `open` no value is known."""

    document: Document
    errors: list[FileError] = field(default_factory=list)
    open: set[tuple[str, int, int]] = field(default_factory=set)


def variants(document: Document, only: str | None = None) -> list[Variant]:
    """Return the pipelines of a merged document in the order of its matrix: without one a single one.

    `only` is the name of the one that is wanted, where there are several. Raises PipelineFileError where the shape of
    `parameters` or `matrix` is wrong, or too much would be made.
    """
    if not document.dollar and not document.data.keys() & {"parameters", "matrix"}:
        return [Variant(document)]
    declared, matrix = _said(document)
    combinations = _combinations(document, matrix)
    errors = [document.error(*fault) for fault in _faults(declared, matrix)]
    defaults = {name: one["default"] for name, one in declared.items() if one.get("default") is not None}
    open_names = [name for name in declared if name not in defaults and name not in matrix]
    text = "has no value: give it a default, here, in an environment or in a file that extends this one, or a matrix"
    errors += [document.whole_error(("parameters", name), f"{name!r} {text}", at_key=True) for name in open_names]
    unknown = dict.fromkeys(open_names, "")
    names = [_name(document, {**defaults, **one}, unknown) for one in combinations]
    errors += _twins(document, names, matrix)
    found = []
    for name, one in zip(names, combinations, strict=True):
        if len(names) == 1 or only in (None, name):
            filled = Filled(document, {**defaults, **one}, unknown)
            if filled.uses * len(combinations) > MAX_EXPANDED:
                text = f"more than {MAX_EXPANDED:,} values are put into all of its pipelines; write several files"
                raise PipelineFileError([document.error(("matrix",), text, at_key=True)])
            found.append(Variant(filled.document, [*errors, *filled.errors], filled.open))
    return found


def unused_errors(document: Document) -> Iterator[FileError]:
    """Yield each parameter that a file says itself and that stands nowhere in it or below it, in any environment."""
    overlays = document.data.get("environments")
    parts: dict[KeyPath, Any] = {(): document.data}
    if isinstance(overlays, dict):
        parts |= {("environments", name): part for name, part in overlays.items() if isinstance(part, dict)}
    said = [
        (*path, key, name)
        for path, part in parts.items()
        for key in ("parameters", "matrix")
        if isinstance(part.get(key), dict)
        for name in part[key]
    ]
    if not said:
        return
    apart = {*APART, "environments"}
    names = used([item for part in parts.values() for key, item in part.items() if key not in apart])
    for path in said:
        if path[-1] not in names and document.marks[path].file == document.file:
            near = nearest(str(path[-1]), names) or ": use it, or remove it"
            yield document.error(path, f"'${{{path[-1]}}}' stands nowhere in the file{near}", at_key=True)


def waits_for_environment(document: Document) -> bool:
    """Return whether a parameter has a value in some environments only: without one there is no pipeline yet."""
    declared, matrix = (_mapping(document.data, key) for key in ("parameters", "matrix"))
    overlays = [part for part in _mapping(document.data, "environments").values() if isinstance(part, dict)]
    return any(
        _mapping(declared, name).get("default") is None
        and name not in matrix
        and any(
            name in _mapping(part, "matrix") or _mapping(_mapping(part, "parameters"), name).get("default") is not None
            for part in overlays
        )
        for name in declared
    )


def _said(document: Document) -> tuple[dict[str, dict[str, Any]], dict[str, list[Value]]]:
    """Return the declared parameters and the matrix as the file says them. Raises for what is not of their shape."""
    # Here and not above: they build every model of a pipeline file, and one without parameters needs fewer.
    from airflow_mlops_provider.factory.models import Parameters
    from airflow_mlops_provider.factory.validate import model_of

    declared = _mapping(document.data, "parameters")
    for path, most, found in (
        (("parameters",), _MAX_PARAMETERS, declared),
        *(
            (("parameters", name, "choices"), _MAX_PIPELINES, _mapping(declared, name).get("choices"))
            for name in declared
        ),
    ):
        if isinstance(found, dict | list) and len(found) > most:
            raise PipelineFileError([document.error(path, f"more than {most} of them", at_key=True)])
    data = {key: document.data[key] for key in ("parameters", "matrix") if key in document.data}
    model_of(Document(document.file, data, document.marks), Parameters)
    return declared, _mapping(data, "matrix")


def _combinations(document: Document, matrix: Mapping[str, list[Value]]) -> list[dict[str, Value]]:
    number = prod(len(values) for values in matrix.values())
    if number > _MAX_PIPELINES or number * len(document.marks) > MAX_EXPANDED:
        text = f"{number:,} pipelines of {len(document.marks):,} values: at most {_MAX_PIPELINES} and"
        text = f"{text} {MAX_EXPANDED:,} values together are made of one file; write several"
        raise PipelineFileError([document.error(("matrix",), text, at_key=True)])
    return [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]


def _faults(declared: Mapping[str, dict[str, Any]], matrix: Mapping[str, list[Value]]) -> Iterator[tuple[KeyPath, str]]:
    """Yield what is wrong with the values of parameters, and with a matrix's."""
    for name, one in declared.items():
        at = ("parameters", name)
        default = one.get("default")
        if default is not None:
            yield from _value_faults((*at, "default"), default, one)
        for i, choice in enumerate(one.get("choices", ())):
            yield from _value_faults((*at, "choices", i), choice, {"type": one["type"]})
    for name, values in matrix.items():
        said = [json.dumps(value) for value in values]
        for i, value in enumerate(values):
            yield from _value_faults(("matrix", name, i), value, declared.get(name, {}))
            if said[i] in said[:i]:
                yield ("matrix", name, i), f"{value!r} stands twice"


def _value_faults(path: KeyPath, value: Value, parameter: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    kind, choices = parameter.get("type"), parameter.get("choices")
    if kind and not is_of(value, kind):
        quoted = ", or quotes around it" if kind == "string" else ""
        yield path, f"{TYPES[kind][1]} is wanted, as `type` says{quoted}, not {json.dumps(value)}"
    elif choices and json.dumps(value) not in map(json.dumps, choices):
        known = ", ".join(map(str, choices))
        yield path, f"{value!r} is none of its choices: {known}{nearest(str(value), map(str, choices))}"
    elif isinstance(value, str) and "${" in value:
        yield path, "a parameter's value takes no '${'"


def _name(document: Document, values: Mapping[str, Value], unknown: Mapping[str, str]) -> str | None:
    """Return what a pipeline is called with these values; None where it has no name."""
    name = document.data.get("pipeline")
    if not isinstance(name, str) or len(name) > _MAX_NAME:
        return None
    alone = Document(document.file, {"pipeline": name}, document.marks)
    return str(Filled(alone, values, unknown).document.data["pipeline"])


def _twins(document: Document, names: list[str | None], matrix: Mapping[str, list[Value]]) -> Iterator[FileError]:
    twice = next((name for i, name in enumerate(names) if name is not None and name in names[:i]), None)
    if twice is None:
        return
    missing = [key for key in matrix if key not in used(document.data["pipeline"])] or list(matrix)
    uses = " and ".join(f"${{{key}:lower}}" for key in missing)
    text = f"{names.count(twice)} pipelines of the matrix would be called {twice!r}: write {uses} into the name"
    yield document.error(("pipeline",), text)


def _mapping(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}

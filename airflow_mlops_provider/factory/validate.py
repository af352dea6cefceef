"""A document against the models: the pipeline, or every error of the file at once with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from airflow_mlops_provider.contracts.pod import NAME_PATTERN, QUANTITY_PATTERN
from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError, did_you_mean, nearest
from airflow_mlops_provider.factory.load import Document
from airflow_mlops_provider.factory.models import Pipeline
from airflow_mlops_provider.factory.shapes import shaped, unknown_keys

__all__ = ["model_of", "pipeline_of", "sound_part"]

_Model = TypeVar("_Model", bound=BaseModel)

# Python's words for types, in the file's own.
_WANTED = {
    "bool_type": "true or false is wanted",
    "int_type": "a whole number is wanted",
    "float_type": "a number is wanted",
    "string_type": "text is wanted",
    "tuple_type": "a list is wanted",
    "list_type": "a list is wanted",
    "dict_type": "a mapping of keys is wanted",
    "model_type": "a mapping of keys is wanted",
    "model_attributes_type": "a mapping of keys is wanted",
    "date_type": "a day such as 2013-01-31 is wanted",
    "date_from_datetime_parsing": "a day such as 2013-01-31 is wanted",
    "date_parsing": "a day such as 2013-01-31 is wanted",
    "time_delta_parsing": "a duration such as 15m, 6h or 14d is wanted",
}
_PATTERNS = {
    QUANTITY_PATTERN: "a quantity of Kubernetes is wanted, such as 500m, 2 or 16Gi",
    NAME_PATTERN: "a name of a-z, 0-9, - and . is wanted",
    r"^[a-z][a-z0-9_]{0,62}$": "a name of a-z, 0-9 and _ is wanted, a letter first, at most 63 characters",
}


def pipeline_of(document: Document) -> Pipeline:
    """Return the model of a merged document. Raises PipelineFileError with all errors of shape."""
    return model_of(document, Pipeline)


def model_of(document: Document, kind: type[_Model]) -> _Model:
    """Return a document as a model of this kind. Raises PipelineFileError with all errors of shape."""
    errors = [_unknown(document, *found) for found in unknown_keys(document.data, kind)]
    try:
        # Strict in JSON mode: lists become tuples and text a date, but 'yes' is no boolean and '3' no number.
        model = kind.model_validate_json(json.dumps(shaped(document.data, kind)), strict=True)
    except ValidationError as exc:
        raise PipelineFileError([*errors, *_faults(document, exc, errors)]) from None
    if errors:
        raise PipelineFileError(errors)
    return model


def sound_part(document: Document) -> Pipeline | None:
    """Return the pipeline without the keys whose shape is wrong, so that what the others name can be checked, too.

    None where nothing is left. What is left out is not all that is wrong with the file: `pipeline_of` says that.
    """
    left = shaped(document.data, Pipeline)
    # First the wrong value alone. What needs it goes next: a dataset of `ingest`, then `ingest`, then `data`.
    for depth in (None, 3, 2, 1, 0):
        try:
            return Pipeline.model_validate_json(json.dumps(left), strict=True)
        except ValidationError as exc:
            places = [tuple(_real(document, fault))[:depth] for fault in exc.errors(include_url=False)]
            left = {"pipeline": "unnamed", **_without(left, places)}
    return None


def _without(value: Any, paths: list[KeyPath]) -> Any:
    if not isinstance(value, dict):
        return value
    gone = {path[0] for path in paths if len(path) == 1}
    below = [path for path in paths if len(path) > 1]
    return {
        key: _without(item, [path[1:] for path in below if path[0] == key])
        for key, item in value.items()
        if key not in gone
    }


def _unknown(document: Document, path: KeyPath, key: str, known: list[str]) -> FileError:
    at = document.error((*path, key), "", at_key=True)
    where = document.error(path, "")
    message = f"unknown key {key!r}{did_you_mean(key, known)}"
    return FileError(at.file, at.line, at.column, where.path, message)


def _faults(document: Document, exc: ValidationError, unknown: list[FileError]) -> Iterator[FileError]:
    said = {(error.line, error.column) for error in unknown}
    faults = [(fault, tuple(_real(document, fault))) for fault in exc.errors(include_url=False)]
    inside = {path[:i] for _, path in faults for i in range(len(path))}
    kinds: dict[KeyPath, list[str]] = {}
    for fault, path in faults:
        kinds.setdefault(path, []).append(fault["type"])
    for fault, path in faults:
        # Of a value that may be two things pydantic tells why it is neither; what is wrong inside says more.
        if fault["type"].endswith("_type") and path in inside:
            continue
        one_of = kinds[path] if len(kinds[path]) > 1 and all(kind in _WANTED for kind in kinds[path]) else []
        if one_of and fault["type"] != one_of[0]:
            continue
        error = _translated(document, fault, path, one_of)
        if error is not None and (error.line, error.column) not in said:
            yield error


def _translated(
    document: Document,
    fault: Any,  # pydantic's ErrorDetails
    path: KeyPath,
    one_of: list[str],
) -> FileError | None:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        return None  # said by unknown_keys, with the nearest known key
    if kind == "missing":
        return document.whole_error(path[:-1], f"{path[-1]!r} is missing", at_key=True)
    at_key, near = "[key]" in fault["loc"], ""
    if kind == "value_error":
        return document.error(path, str(context["error"]), at_key=True)
    if kind == "string_pattern_mismatch":
        wanted = _PATTERNS.get(context["pattern"], f"text that matches {context['pattern']} is wanted")
    elif path[-1:] == ("runs_on",):
        wanted = "`local`, {python: PATH} or {kubernetes: {...}} is wanted"
    elif kind == "too_short" and len(_at(document.data, path)) >= context["min_length"]:
        return None  # of entries that are wrong themselves pydantic counts none
    elif kind == "too_short":
        wanted = "at least one entry is wanted"
    elif kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        near = nearest(str(_at(document.data, path)), known)
        wanted = f"one of {context['expected'].replace(' or ', ', ')} is wanted"
    elif one_of:
        known = [_WANTED[one].removesuffix(" is wanted") for one in one_of]
        wanted = f"{' or '.join(dict.fromkeys(known))} is wanted"
    else:
        wanted = _WANTED.get(kind, fault["msg"].removeprefix("Input ").replace("should be", "must be"))
    given = path[-1] if at_key else _at(document.data, path)
    return document.error(path, f"{wanted}, not {_shown(given)}{near}", at_key=at_key)


def _real(document: Document, fault: Any) -> Iterator[str | int]:  # pydantic's ErrorDetails
    """Yield the keys of a fault's place that the document has, or that are missing; pydantic adds marks of its own."""
    value: Any = document.data
    for i, part in enumerate(fault["loc"]):
        if part == "[key]":
            return
        if part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int):
            value = value[part]
            yield part
        elif fault["type"] == "missing" and i == len(fault["loc"]) - 1:
            yield part


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""A document against the models: the pipeline, or every error of the file at once with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.contracts.pod import NAME_PATTERN, QUANTITY_PATTERN
from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError
from airflow_mlops_provider.factory.load import Document
from airflow_mlops_provider.factory.models import Pipeline
from airflow_mlops_provider.factory.shapes import did_you_mean, shaped, unknown_keys

__all__ = ["pipeline_of"]

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
    errors = [_unknown(document, *found) for found in unknown_keys(document.data, Pipeline)]
    unknown = {(error.line, error.column) for error in errors}
    try:
        # Strict in JSON mode: lists become tuples and text a date, but 'yes' is no boolean and '3' no number.
        pipeline = Pipeline.model_validate_json(json.dumps(shaped(document.data, Pipeline)), strict=True)
    except ValidationError as exc:
        found = (_translated(document, fault) for fault in exc.errors(include_url=False))
        errors += [error for error in found if error and (error.line, error.column) not in unknown]
        raise PipelineFileError(errors) from None
    if errors:
        raise PipelineFileError(errors)
    return pipeline


def _unknown(document: Document, path: KeyPath, key: str, known: list[str]) -> FileError:
    at = document.error((*path, key), "", at_key=True)
    where = document.error(path, "")
    message = f"unknown key {key!r}{did_you_mean(key, known)}"
    return FileError(at.file, at.line, at.column, where.path, message)


def _translated(document: Document, fault: Any) -> FileError | None:  # pydantic's ErrorDetails
    kind, context = fault["type"], fault.get("ctx", {})
    path = tuple(_real(document, fault["loc"]))
    if kind == "extra_forbidden":
        return None  # said by unknown_keys, with the nearest known key
    if kind == "missing":
        return document.error(path[:-1], f"{path[-1]!r} is missing", at_key=True)
    at_key = "[key]" in fault["loc"]
    if kind == "value_error":
        return document.error(path, str(context["error"]), at_key=True)
    if kind == "string_pattern_mismatch":
        wanted = _PATTERNS.get(context["pattern"], f"text that matches {context['pattern']} is wanted")
    elif kind == "too_short":
        wanted = "at least one entry is wanted"
    elif kind == "literal_error":
        wanted = f"one of {context['expected'].replace(' or ', ', ')} is wanted"
    else:
        wanted = _WANTED.get(kind, fault["msg"].removeprefix("Input ").replace("should be", "must be"))
    given = path[-1] if at_key else _at(document.data, path)
    return document.error(path, f"{wanted}, not {_shown(given)}", at_key=at_key)


def _real(document: Document, location: KeyPath) -> Iterator[str | int]:
    """Yield the keys of a location that the document has, or that are missing; pydantic adds marks of its own."""
    value: Any = document.data
    for i, part in enumerate(location):
        if part == "[key]":
            return
        if part in value if isinstance(value, dict) else isinstance(value, list):
            value = value[part]
        elif i < len(location) - 1:
            continue
        yield part


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

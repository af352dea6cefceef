"""`${name}` in a pipeline file: typed values, put in before anything else is judged. Nothing is evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError, did_you_mean
from airflow_mlops_provider.factory.files import MAX_BYTES
from airflow_mlops_provider.factory.load import MAX_VALUES, Document, Mark

__all__ = ["APART", "TYPES", "Filled", "Value", "is_of", "used"]

Value = bool | int | float | str

# `$${` is the text `${`.
_USE = re.compile(r"\$\$\{|\$\{(?:([a-z][a-z0-9_]{0,62})(:lower)?\})?")
# What says the values, and takes none.
APART = ("extends", "parameters", "matrix")
TYPES = {
    "string": ((str,), "text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
}
# Of so many unknown names the nearest known one is looked for.
_NEAR = 50


def is_of(value: Any, kind: str) -> bool:
    """Return whether a value is of a parameter's type; true is no number."""
    return isinstance(value, TYPES[kind][0]) and (kind == "boolean" or not isinstance(value, bool))


def used(value: Any) -> set[str]:
    """Return the parameters that are named anywhere below a value."""
    if isinstance(value, dict):
        return set().union(*(_names(key) | used(item) for key, item in value.items()))
    if isinstance(value, list):
        return set().union(*map(used, value))
    return _names(value) if isinstance(value, str) else set()


class Filled:
    """A document with its values put in, without the keys that said them; what is wrong with that stands in `errors`.

    A value that is nothing but `${x}` takes the parameter's own type; within text and keys it is text. `unknown` are
    parameters without a value and why: empty, it was said elsewhere. Raises PipelineFileError for too much text.
    """

    def __init__(self, document: Document, values: Mapping[str, Value], unknown: Mapping[str, str]) -> None:
        self.errors: list[FileError] = []
        # Places whose value is not known: there nothing else is wrong.
        self.open: set[tuple[str, int, int]] = set()
        self._given = document
        self._values = values
        self._unknown = unknown
        self.uses = self._size = 0
        self._marks: dict[KeyPath, Mark] = {}
        data = {key: item for key, item in document.data.items() if key not in APART}
        self.document = Document(document.file, self._put(data, (), ()), self._marks, dollar=False)

    def _put(self, value: Any, old: KeyPath, new: KeyPath) -> Any:
        if old in self._given.marks:
            self._marks[new] = self._given.marks[old]
        if isinstance(value, dict):
            return self._mapping(value, old, new)
        if isinstance(value, list):
            return [self._put(item, (*old, i), (*new, i)) for i, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        text = self._text(value, old)
        whole = _USE.fullmatch(value)
        return self._values[whole[1]] if whole and whole[1] in self._values and not whole[2] else text

    def _mapping(self, value: dict[str, Any], old: KeyPath, new: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = self._text(key, (*old, key), at_key=True) if "${" in key else key
            if name in found:
                text = f"with its values put in, key {name!r} stands twice"
                self.errors.append(self._given.error((*old, key), text, at_key=True))
            found[name] = self._put(item, (*old, key), (*new, name))
        return found

    def _text(self, text: str, path: KeyPath, *, at_key: bool = False) -> str:
        parts, done = [], 0
        for found in _USE.finditer(text):
            if found[0] != "$${" and found[1] not in self._values:
                self._fault(found[1], path, at_key)
                break
            put = "${" if found[0] == "$${" else _said(self._values[found[1]], bool(found[2]))
            parts += [text[done : found.start()], put]
            done = found.end()
            self.uses, self._size = self.uses + 1, self._size + len(put)
            if self._size > MAX_BYTES or self.uses > MAX_VALUES:
                said = f"more than {MAX_VALUES:,} values, or {MAX_BYTES // 1024} KiB, are put in"
                raise PipelineFileError([self._given.error(path, said)])
        return "".join(parts) + text[done:]

    def _fault(self, name: str | None, path: KeyPath, at_key: bool) -> None:
        if name is None:
            message = "'${' opens no parameter: write ${name} or ${name:lower}, or $${ for the text '${'"
        elif name in self._unknown:
            message = self._unknown[name]
        else:
            near = did_you_mean(name, sorted(self._values)) if len(self.errors) < _NEAR else ""
            message = f"no parameter {name!r}{near or '; declare it under `parameters`'}"
        places = [self._given.error(path, message, at_key=at) for at in (False, True)]
        self.open |= {(error.file, error.line, error.column) for error in places}
        if message:
            self.errors.append(places[at_key])


def _names(text: str) -> set[str]:
    return {found[1] for found in _USE.finditer(text) if found[1]} if "${" in text else set()


def _said(value: Value, lower: bool) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.lower() if lower else text

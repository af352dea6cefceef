"""YAML to plain values that remember their lines. No tags, no surprises of YAML 1.1, no bombs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml

from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError, dotted
from airflow_mlops_provider.factory.files import MAX_BYTES, content

__all__ = ["MAX_DEPTH", "MAX_VALUES", "Document", "Mark", "decoded", "laid_over", "load", "parse"]

# Events, one by one: composing 100,000 nested lists overruns libyaml's C stack and kills the process, and parsing
# them takes it half a minute.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # two classes without a common base
MAX_VALUES = 20_000
MAX_DEPTH = 40
_MAX_MESSAGE = 1_000

_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value and its key stand, counted from 1; `environment` names the overlay it came from.

    Without a file there are no lines: 0 for all four, and `file` is what the values are called.
    """

    file: str
    line: int
    column: int
    key_line: int
    key_column: int
    environment: str | None = None


@dataclass(frozen=True)
class Document:
    """A file's values and the mark of each, by its path of keys.

    `file` is the pipeline's own; a value that was laid under it has a mark of another. `dollar`: whether there may be
    a `${` in it.
    """

    file: str
    data: dict[str, Any]  # what YAML holds
    marks: dict[KeyPath, Mark] = field(repr=False)
    dollar: bool = True

    def error(self, path: KeyPath, message: str, *, at_key: bool = False) -> FileError:
        """Return an error at a value, or at its key; for a path that is not there, at its nearest parent."""
        known = path
        while known and known not in self.marks:
            known = known[:-1]
        mark = self.marks[known]
        line, column = (mark.line, mark.column)
        if at_key or known != path:
            line, column = (mark.key_line, mark.key_column)
        shown = message if len(message) <= _MAX_MESSAGE else f"{message[: _MAX_MESSAGE - 3]}..."
        return FileError(mark.file, line, column, dotted(path), shown)

    def whole_error(self, path: KeyPath, message: str, *, at_key: bool = False) -> FileError:
        """Return an error of the values together: where one stands in another file, it says whose values they are."""
        error = self.error(path, message, at_key=at_key)
        return error if error.file == self.file else replace(error, message=f"{error.message} (for {self.file})")

    def is_mapping(self, path: KeyPath) -> bool:
        """Return whether the value at a path is a mapping: what is wrong with one is said at its key."""
        value: Any = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int):
                value = value[part]
        return isinstance(value, dict)

    def merged(self, environment: str | None) -> Document:
        """Return the document with `environments.<environment>` laid over it; mappings merge, all else is replaced."""
        overlays = self.data.get("environments") or {}
        base = {key: value for key, value in self.data.items() if key != "environments"}
        marks = {path: mark for path, mark in self.marks.items() if path[:1] != ("environments",)}
        overlay = overlays.get(environment) if isinstance(overlays, dict) else None
        if environment is None or not isinstance(overlay, dict):
            return Document(self.file, base, marks, self.dollar)
        prefix: KeyPath = ("environments", environment)
        merged = laid_over(base, overlay, marks)
        for path, mark in self.marks.items():
            if path[:2] == prefix and len(path) > 2:
                marks[path[2:]] = Mark(mark.file, mark.line, mark.column, mark.key_line, mark.key_column, environment)
        return Document(self.file, merged, marks, self.dollar)


def laid_over(base: Any, overlay: Any, marks: dict[KeyPath, Mark], path: KeyPath = ()) -> Any:
    """Return `overlay` over `base`: mappings merge, all else is replaced, and what is replaced loses its marks."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        merged = dict(base)
        for key, value in overlay.items():
            merged[key] = laid_over(base[key], value, marks, (*path, key)) if key in base else value
        return merged
    _forget(base, marks, path)
    return overlay


def _forget(value: Any, marks: dict[KeyPath, Mark], path: KeyPath) -> None:
    marks.pop(path, None)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _forget(item, marks, (*path, key))


def load(path: str | Path, name: str | None = None) -> Document:
    """Read a pipeline file; errors call it `name` (default: its path). Raises ConfigError if it cannot be read."""
    return decoded(content(Path(path)), name or str(path))


def decoded(raw: bytes, name: str) -> Document:
    """Return the document of a file's bytes. Raises PipelineFileError for the first thing that is no plain YAML."""
    if len(raw) > MAX_BYTES:
        raise PipelineFileError([FileError(name, 1, 1, "", f"larger than {MAX_BYTES // 1024} KiB")])
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        raise PipelineFileError([FileError(name, line, 1, "", "not UTF-8 text")]) from exc
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Return the document of one YAML text. Raises PipelineFileError for the first thing that is no plain YAML."""
    try:
        # An escape in quotes may write any character.
        dollar = "${" in text or "\\" in text
        return _Reader(name, yaml.parse(text, Loader=_LOADER)).document(dollar)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise PipelineFileError([FileError(name, line, column, "", f"not YAML: {exc.problem}")]) from None
    except yaml.reader.ReaderError as exc:
        line = text[: exc.position].count("\n") + 1
        raise PipelineFileError([FileError(name, line, 1, "", f"not YAML: {exc.reason}")]) from None


@dataclass
class _Node:
    """A value with its mark; a mapping's value is a list of (key, key's mark, node), a sequence's of nodes."""

    value: Any
    line: int
    column: int


class _Reader:
    """Turns the parser's events into one document."""

    def __init__(self, name: str, events: Iterator[Any]) -> None:
        self.name = name
        self.events = events
        self.anchors: dict[str, _Node] = {}
        self.marks: dict[KeyPath, Mark] = {}
        self.values = 0

    def document(self, dollar: bool) -> Document:
        next(self.events)
        first = next(self.events)
        if isinstance(first, yaml.StreamEndEvent):
            raise PipelineFileError([FileError(self.name, 1, 1, "", "the file is empty")])
        root = self._node(next(self.events), 0)
        next(self.events)
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._refuse(after, "a second YAML document; write one file a pipeline")
        if not isinstance(root.value, _Mapping):
            raise PipelineFileError([FileError(self.name, root.line, root.column, "", "a mapping of keys is wanted")])
        return Document(self.name, self._plain(root, (), (root.line, root.column)), self.marks, dollar)

    def _node(self, event: Any, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                self._refuse(event, f"alias *{event.anchor} has no anchor before it")
            return self.anchors[event.anchor]
        if event.tag not in (None, "!"):
            self._refuse(event, f"tag {event.tag!r}: tags are not read, write plain values")
        node = _Node(self._value(event, depth), *_place(event))
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value) if not event.style and event.tag is None else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return _Sequence(self._node(item, depth + 1) for item in self._until(yaml.SequenceEndEvent))
        return self._mapping(depth)

    def _mapping(self, depth: int) -> _Mapping:
        entries = _Mapping()
        seen: dict[str, int] = {}
        for event in self._until(yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be text")
            if event.value == "<<":
                self._refuse(event, "merge keys (<<) are not read; write the keys out, or use `environments:`")
            if event.value in seen:
                self._refuse(event, f"key {event.value!r} stands twice, first in line {seen[event.value]}")
            at = _place(event)
            seen[event.value] = at[0]
            entries.append((event.value, at, self._node(next(self.events), depth + 1)))
        return entries

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self.events), end):
            yield event

    def _plain(self, node: _Node, path: KeyPath, key: tuple[int, int]) -> Any:
        """Return a node's plain value and note its marks. Aliases multiply here, so here they are counted."""
        self.values += 1
        if self.values > MAX_VALUES or len(path) > MAX_DEPTH:
            text = f"more than {MAX_VALUES} values or {MAX_DEPTH} levels; are aliases multiplying?"
            raise PipelineFileError([FileError(self.name, node.line, node.column, "", text)])
        self.marks[path] = Mark(self.name, node.line, node.column, *key)
        if isinstance(node.value, _Mapping):
            return {name: self._plain(child, (*path, name), at) for name, at, child in node.value}
        if isinstance(node.value, _Sequence):
            return [self._plain(child, (*path, i), (child.line, child.column)) for i, child in enumerate(node.value)]
        return node.value

    def _refuse(self, event: Any, message: str) -> NoReturn:
        raise PipelineFileError([FileError(self.name, *_place(event), "", message)])


class _Mapping(list[tuple[str, tuple[int, int], _Node]]):
    """Entries of a mapping, in the order of the file."""


class _Sequence(list[_Node]):
    """Items of a sequence."""


def _place(event: Any) -> tuple[int, int]:  # one of yaml's events
    return event.start_mark.line + 1, event.start_mark.column + 1


def _scalar(text: str) -> Any:
    """Return what plain text means: YAML 1.2's core without octal and hexadecimal, so `NO`, `on`, `010` stay text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text) and len(text) < 20:
        return int(text)
    if _FLOAT.fullmatch(text):
        value = float(text)
        return text if value in (float("inf"), float("-inf")) else value
    return text

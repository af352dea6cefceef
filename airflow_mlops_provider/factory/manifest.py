"""What dbt knows of a project, from the `target/manifest.json` that its last run left there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_mlops_provider.factory.errors import nearest
from airflow_mlops_provider.factory.files import Files

__all__ = ["Manifest"]

# One part of dbt's --select: `@`, parents, method, value, children.
_PART = re.compile(r"@?(?:\d*\+)?(?:(?P<method>[\w.]+):)?(?P<value>.+?)(?:\+\d*)?")
_GRAPH = re.compile(r"^@|^\d*\+|\+\d*$")
# What dbt builds by name; sources are not built.
_KINDS = ("nodes", "unit_tests", "exposures", "metrics", "semantic_models", "saved_queries")
_MAX_BYTES = 32 * 1024 * 1024
_OLD = "if {} is older than the project, run `dbt parse`"


class Manifest:
    """The nodes of one project. Names alone: whether a model runs, dbt says."""

    def __init__(self, nodes: list[dict[str, Any]], folder: Path, shown: str) -> None:
        self.nodes = nodes
        self.folder = folder
        self.old = _OLD.format(shown)

    @classmethod
    def of(cls, project_dir: str, files: Files) -> Manifest | None:
        """Return a project's manifest; None where it is not there, or is nothing that dbt wrote."""
        shown = f"{project_dir.rstrip('/')}/target/manifest.json"
        path = files.root / shown
        if not files.inside(shown) or not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        try:
            manifest = json.loads(path.read_bytes())
            nodes = [node for kind in _KINDS for node in manifest[kind].values()]
            read = [node for node in nodes if {"name", "fqn", "resource_type"} <= node.keys()]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        return cls(read, files.root / project_dir, shown)

    def model_fault(self, name: str) -> str | None:
        """Return what is wrong with the name of a model, if no model has it."""
        models = {node["name"] for node in self.nodes if node["resource_type"] == "model"}
        if name in models or self._has_file(name):
            return None
        return f"dbt knows no model {name!r}{nearest(name, models) or '; ' + self.old}"

    def selection_faults(self, select: str) -> Iterator[str]:
        """Yield each part of a selection that chooses nothing; a method that is not known here is let through.

        As in dbt, a blank joins parts, and a comma keeps what both sides choose.
        """
        for union in select.split():
            chosen: list[set[int] | None] = []
            for part in union.split(","):
                found = self._chosen(part)
                chosen.append(None if _GRAPH.search(part) else found)
                if found is not None and not found:
                    yield f"dbt selects nothing by {part!r}{self._nearest(part) or '; ' + self.old}"
            sets = [found for found in chosen if found is not None]
            if len(sets) == len(chosen) and all(sets) and not set.intersection(*sets):
                yield f"dbt selects nothing by {union!r}: its parts have no node in common; {self.old}"

    def _chosen(self, part: str) -> set[int] | None:
        """Return the nodes that a part names, as positions, without its parents and children; None: not known."""
        match = _PART.fullmatch(part)
        if match is None:
            return None
        method, value = match["method"] or _method_of(match["value"]), match["value"]
        if method == "path":
            return set() if self._has_no_path(value) else None
        if method not in _METHODS:
            return None
        found = {i for i, node in enumerate(self.nodes) if _METHODS[method](node, value)}
        return None if not found and method == "fqn" and self._has_file(value) else found

    def _nearest(self, part: str) -> str:
        match = _PART.fullmatch(part)
        if match is None or match["method"] not in (None, "fqn", "tag"):
            return ""
        tags = match["method"] == "tag"
        known = {name for node in self.nodes for name in (node.get("tags", ()) if tags else (node["name"],))}
        return nearest(match["value"], known)

    def _has_file(self, name: str) -> bool:
        """Return whether a model of this name was written since dbt last looked."""
        return name.isidentifier() and any(self.folder.rglob(f"{name}.*"))

    def _has_no_path(self, pattern: str) -> bool:
        climbs = pattern.startswith(("/", "~")) or ".." in PurePosixPath(pattern).parts
        # Of two `**` each folder is walked for each folder.
        return not climbs and pattern.count("**") < 2 and not any(self.folder.glob(pattern))


def _method_of(value: str) -> str:
    if "/" in value:
        return "path"
    return "file" if value.lower().endswith((".sql", ".py", ".csv")) else "fqn"


def _by_fqn(node: dict[str, Any], value: str) -> bool:
    fqn, wanted = node["fqn"], value.split(".")
    leaf = fqn[-2] if node.get("version") is not None else fqn[-1]
    if value == "*" or fnmatchcase(leaf, value):
        return True
    parts = [part for one in fqn for part in one.split(".")]
    return any(
        len(wanted) <= len(tail) and all(map(fnmatchcase, tail, wanted))  # a folder chooses what lies below it
        for tail in (parts, parts[1:])
    )


def _by_file(node: dict[str, Any], value: str) -> bool:
    path = PurePosixPath(node.get("original_file_path", ""))
    return fnmatchcase(path.name, value) or fnmatchcase(path.stem, value)


_METHODS: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "fqn": _by_fqn,
    "file": _by_file,
    "tag": lambda node, value: any(fnmatchcase(tag, value) for tag in node.get("tags", ())),
    "resource_type": lambda node, value: node["resource_type"] == value,
    "package": lambda node, value: value == "this" or fnmatchcase(node.get("package_name", ""), value),
}

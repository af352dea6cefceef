"""The feature views and services that a Feast repository defines, read from its source."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from airflow_mlops_provider.factory.files import Files

__all__ = ["FeatureNames", "feature_names"]

_VIEWS = frozenset({"BatchFeatureView", "FeatureView", "OnDemandFeatureView", "StreamFeatureView"})
_DECORATORS = frozenset({"batch_feature_view", "on_demand_feature_view", "stream_feature_view"})
# A folder of more is no feature repository alone, such as a whole bundle with its environment.
_MAX_FILES = 200
_MAX_BYTES = 1024 * 1024
# What a repository imports that defines no features.
_FEATURELESS = sys.stdlib_module_names | {"airflow_mlops_provider", "feast", "numpy", "pandas", "pyarrow", "pyspark"}


@dataclass(frozen=True, slots=True)
class FeatureNames:
    """Names by kind; `more`: there may be others, made in a way that only Python knows or imported from elsewhere."""

    views: frozenset[str]
    services: frozenset[str]
    more: bool


def feature_names(repo: str, files: Files) -> FeatureNames | None:
    """Return what the Python files of a repository define; None where there is no such folder in the bundle."""
    if not files.inside(repo) or not files.is_folder(repo):
        return None
    folder = files.root / repo
    seen = (path for path in folder.rglob("*.py") if not _hidden(path.relative_to(folder)))
    sources = sorted(islice(seen, _MAX_FILES + 1))
    if len(sources) > _MAX_FILES:
        return FeatureNames(frozenset(), frozenset(), more=True)
    reader = _Reader({path.stem for path in sources} | {folder.name, *Path(repo).parts})
    for path in sources:
        try:
            reader.visit(ast.parse(_source(path), filename=path.name))
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
            reader.more = True  # Feast tells what is wrong with it
    return FeatureNames(frozenset(reader.views), frozenset(reader.services), reader.more)


def _source(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_BYTES)  # cut short it is no Python, and what it defines is then not known


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


class _Reader(ast.NodeVisitor):
    """Collects names from calls such as `FeatureView(name="a")`; `own` are modules that are read, too."""

    def __init__(self, own: set[str]) -> None:
        self.own = own
        self.views: set[str] = set()
        self.services: set[str] = set()
        self.more = False

    def visit_Call(self, node: ast.Call) -> None:  # ast's own
        called = _last(node.func)
        if called in _VIEWS or called == "FeatureService":
            self._take(self.services if called == "FeatureService" else self.views, node)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:  # ast's own
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            if _last(call.func if call else decorator) in _DECORATORS:
                named = [k.value for k in call.keywords if k.arg == "name"] if call else []
                self._add(self.views, named[0] if named else ast.Constant(node.name))
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # ast's own
        root = (node.module or "").partition(".")[0]
        if not node.level and root not in _FEATURELESS | self.own:
            self.more = True

    def _take(self, names: set[str], call: ast.Call) -> None:
        said = [keyword.value for keyword in call.keywords if keyword.arg in ("name", None)] or call.args[:1]
        self._add(names, said[0] if said else None)

    def _add(self, names: set[str], value: ast.expr | None) -> None:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            names.add(value.value)
        else:
            self.more = True  # computed


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""

"""Write the generated parts of the reference pages from the code: `python docs/generate_reference.py`.

With `--check` nothing is written: it ends with 1 and names the pages that are behind. The words that no docstring
says stand in the package, in `factory/meanings.yaml`. A page holds a part between two comments,
`<!-- generated: NAME -->` and `<!-- end of NAME -->`. Airflow is not imported: operators are read, not loaded.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from airflow_mlops_provider.contracts.pod import QUANTITY_PATTERN, Pod
from airflow_mlops_provider.factory.meanings import MEANINGS, described, keys, meaning, section_words
from airflow_mlops_provider.factory.models import Pipeline
from airflow_mlops_provider.factory.options import RunsOn, TaskOptions
from airflow_mlops_provider.get_provider_info import get_provider_info
from airflow_mlops_provider.steps.expectations.base import RowExpectation
from airflow_mlops_provider.steps.expectations.suite import KNOWN
from airflow_mlops_provider.steps.registry import STEPS

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "airflow_mlops_provider"
_PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text", date: "day", timedelta: "duration"}
_PATTERNS = {QUANTITY_PATTERN: "quantity", "^/": "absolute path"}
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "not empty, at least"}


@dataclass(frozen=True)
class Class:
    """A public class as its source says it; `arguments` are (name, type, default or None)."""

    name: str
    module: str
    doc: str
    params: dict[str, str]
    arguments: tuple[tuple[str, str, str | None], ...]
    values: dict[str, Any]  # constants of the class body
    methods: dict[str, str]


def classes(folder: str) -> Iterator[Class]:
    """Yield the classes that the modules of a folder export, in the order of module and file."""
    for path in sorted((PACKAGE / folder).glob("*.py")):
        tree = ast.parse(path.read_text())
        exported = next((_constant(n.value) for n in tree.body if isinstance(n, ast.Assign) and _is_all(n)), ())
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in exported:
                yield _class(node, f"airflow_mlops_provider.{folder}.{path.stem}")


def _is_all(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"


def _class(node: ast.ClassDef, module: str) -> Class:
    text, params = described(ast.get_docstring(node) or "")
    values, methods, arguments = {}, {}, []
    for item in node.body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            values[item.targets[0].id] = _constant(item.value)
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            if item.name == "__init__":
                arguments = _arguments(item)
            elif not item.name.startswith("_"):
                methods[item.name] = (ast.get_docstring(item) or "").split("\n\n")[0].replace("\n", " ")
    return Class(node.name, module, text, params, tuple(arguments), values, methods)


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, str, str | None]]:
    plain = node.args.args[1:]
    positional = [None] * (len(plain) - len(node.args.defaults)) + list(node.args.defaults)
    pairs = [*zip(plain, positional, strict=True), *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
    return [
        (arg.arg, ast.unparse(arg.annotation) if arg.annotation else "", None if value is None else ast.unparse(value))
        for arg, value in pairs
    ]


def _constant(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


# --- the pipeline file ------------------------------------------------------------------------------------------


def pipeline_keys() -> str:
    """Return a table of keys for every mapping of a pipeline file."""
    parts = [_section(path, model, section_words().get(path, {})) for path, model in models()]
    pod = [_section(path, model, {}) for path, model in models("runs_on.kubernetes", Pod)]
    return "\n\n".join(["### Task options", _options_table(), *pod, *parts])


def models(path: str = "", root: type[BaseModel] = Pipeline) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each mapping of the file by its dotted path (`NAME` for a name of yours), outer ones first."""
    pending: list[tuple[str, type[BaseModel]]] = [(path, root)]
    while pending:
        path, model = pending.pop(0)
        yield path, model
        inner = [found for key, info in keys(model) if (found := _model(_join(path, key), info.annotation))]
        pending = [*inner, *pending]


def _section(path: str, model: type[BaseModel], params: dict[str, str]) -> str:
    head = f"### {path}" if path else "### The file"
    also = "\n\nAlso the [task options](#task-options)." if issubclass(model, TaskOptions) else ""
    return f"{head}\n\n{_keys_table(path, model, params)}{also}"


def _options_table() -> str:
    return _keys_table("defaults", TaskOptions, {})


def _keys_table(path: str, model: type[BaseModel], params: dict[str, str]) -> str:
    rows = []
    for key, info in keys(model):
        full = _join(path, key)
        inner = _model(full, info.annotation)
        link = f", [below](#{re.sub(r'[^a-z0-9_-]', '', inner[0].lower())})" if inner else ""
        kind = words(info.annotation, info.metadata) + link
        rows.append((f"`{key}`", kind, _default(info), meaning(full, model, info, params)))
    return _table(("key", "type", "default", "meaning"), rows)


def _model(path: str, kind: Any) -> tuple[str, type[BaseModel]] | None:
    """Return the mapping below a key, if there is one with keys of its own, or that may have."""
    kind = _bare(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return next((found for one in get_args(kind) if (found := _model(path, one))), None)
    if get_origin(kind) is dict:
        return _model(f"{path}.NAME", get_args(kind)[1])
    if get_origin(kind) is tuple:
        return _model(path, get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in (RunsOn, TaskOptions):
        return path, kind
    return None


def words(kind: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """Return a type as a reader of YAML says it."""
    patterns = {str(found) for one in (*metadata, *_inner(kind)) if (found := getattr(one, "pattern", None))}
    if patterns:
        return _PATTERNS.get(patterns.pop(), "name")
    found = [(word, getattr(one, name, None)) for one in metadata for name, word in _BOUNDS.items()]
    bounds = [f"{word} {limit}" for word, limit in found if limit is not None]
    return ", ".join([_kind(_bare(kind)), *(bound.removesuffix(", at least 1") for bound in bounds)])


def _inner(kind: Any) -> tuple[Any, ...]:
    """Return what is said of a type below `| None`."""
    union = get_origin(kind) in (Union, types.UnionType)
    inner = [one for one in get_args(kind) if one is not type(None)] if union else [kind]
    return getattr(inner[0], "__metadata__", ())  # type: ignore[no-any-return]  # typing's own


def _kind(kind: Any) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is RunsOn:
        return "`local`, `{python: PATH}` or `{kubernetes: {...}}`, [below](#runs_onkubernetes)"
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin is tuple:
        return f"list of {'mappings' if _model('', kind) else words(arguments[0])}"
    if origin in (Union, types.UnionType):
        return " or ".join(words(one) for one in arguments if one is not type(None))
    return "mapping by name" if origin is dict and _model("", kind) else "mapping"


def _bare(kind: Any) -> Any:
    """Return an annotation without Annotated, and without None beside one other type."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        others = [one for one in get_args(kind) if one is not type(None)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value in (None, (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, timedelta):
        return f"`{value // timedelta(days=1)}d`" if value else "`0`"
    if isinstance(value, dict):
        return f"`{json.dumps({key: one.model_dump(exclude_defaults=True) for key, one in value.items()})}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(value) if isinstance(value, tuple) else value}`"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def settings() -> str:
    """Return the options of `[mlops]`."""
    options = get_provider_info()["config"]["mlops"]["options"]
    rows = [(f"`{name}`", said["description"], f"`{said['example']}`") for name, said in options.items()]
    return _table(("option", "meaning", "example"), rows)


# --- operators, sensors, hooks ----------------------------------------------------------------------------------


def operators() -> str:
    """Return every operator with its arguments and its result."""
    found = list(classes("operators"))
    base = next(one for one in found if one.name == "StepOperator")
    public = [one for one in found if one.name.endswith("Operator") and one is not base]
    return "\n\n".join(["### Arguments of every operator", _arguments_table(base), *map(_operator, public)])


def sensors() -> str:
    """Return every sensor with its arguments."""
    found = list(classes("sensors"))
    base = next(one for one in found if one.name == "LakeSensor")
    public = [one for one in found if one.name.endswith("Sensor") and one.module != base.module]
    return "\n\n".join(["### Arguments of sensors on the lake", _arguments_table(base), *map(_described, public)])


def hooks() -> str:
    """Return every hook with its connection type and its methods."""
    parts = []
    for one in classes("hooks"):
        if "conn_type" in one.values:
            kind = f"Connection type `{one.values['conn_type']}`, default id `{one.values['default_conn_name']}`."
            methods = [(f"`{name}`", doc) for name, doc in one.methods.items()]
            parts += [_described(one), kind, _table(("method", "what it does"), methods)]
    return "\n\n".join(parts)


def _operator(one: Class) -> str:
    step = one.values.get("step")
    return _described(one) + (f"\n\n{_result(step)}" if step else "")


def _described(one: Class) -> str:
    doc = " ".join(one.doc.split()) if "\n\n" not in one.doc else re.sub(r"(?<!\n)\n(?!\n)", " ", one.doc)
    table = f"\n\n{_arguments_table(one)}" if one.params else ""
    return f"### {one.name}\n\n`{one.module}.{one.name}`\n\n{doc}{table}"


def _arguments_table(one: Class) -> str:
    rows = []
    for name, kind, default in one.arguments:
        text = one.params.get(name, "")
        if not text and name.endswith("_conn_id"):
            text = "id of the connection"
        if text:
            shown = "required" if default is None else "" if default == "None" else f"`{default}`"
            rows.append((f"`{name}`", f"`{kind.removesuffix(' | None')}`", shown, text))
    return _table(("argument", "type", "default", "meaning"), rows)


def _result(step: str) -> str:
    result = STEPS[step].result
    doc = " ".join((result.__doc__ or "").split())
    fields = ", ".join(f"`{name}`" for name in result.model_fields)
    return f"Returns {fields} (`{result.__name__}`). {doc}"


# --- expectations -----------------------------------------------------------------------------------------------


def expectations() -> str:
    """Return the compiled expectation types."""
    rows = []
    for name, model in KNOWN.items():
        keys = ", ".join(f"`{info.alias or key}`" for key, info in model.model_fields.items() if key != "mostly")
        of = "each row" if issubclass(model, RowExpectation) else "the table"
        doc = (model.__doc__ or "").strip() if "__doc__" in vars(model) else ""
        rows.append((f"`{name}`", of, keys, " ".join(doc.split()) or MEANINGS[f"expectations.{name}"]))
    return _table(("type", "claim on", "kwargs", "meaning"), rows)


# --- pages ------------------------------------------------------------------------------------------------------


PARTS = {
    "pipeline keys": ("pipeline-file.md", pipeline_keys),
    "settings": ("pipeline-file.md", settings),
    "operators": ("operators.md", operators),
    "sensors": ("operators.md", sensors),
    "hooks": ("operators.md", hooks),
    "expectations": ("validation.md", expectations),
}


def pages() -> dict[Path, str]:
    """Return each page with its generated parts as the code is now. Raises ValueError where a page lacks its part."""
    texts: dict[Path, str] = {}
    for name, (file, make) in PARTS.items():
        path = DOCS / file
        text = texts.get(path) or path.read_text()
        start, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{file}: no {start} with {end}")
        texts[path] = f"{before}{start}\n\n{make()}\n\n{end}{after}"
    return texts


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are behind."""
    behind = {path: text for path, text in pages().items() if path.read_text() != text}
    for path, text in behind.items():
        if "--check" not in arguments:
            path.write_text(text)
        print(
            f"{path.name} {'is behind: run python docs/generate_reference.py' if '--check' in arguments else 'written'}"
        )
    return 1 if behind and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

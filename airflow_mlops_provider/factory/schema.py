"""The JSON schema of a pipeline file (draft 2020-12), made from its models: for editors and other checkers.

What it accepts is what the models accept; names, files and how sections fit together only `lint` can judge.
"""

from __future__ import annotations

import re
import types
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from airflow_mlops_provider.contracts.ingest import Source
from airflow_mlops_provider.contracts.pod import Volume
from airflow_mlops_provider.factory.meanings import keys, meaning, section_words
from airflow_mlops_provider.factory.models import Data, FreeTask, Monitoring, Pipeline
from airflow_mlops_provider.factory.options import RunsOn, TaskOptions
from airflow_mlops_provider.factory.sections import Train
from airflow_mlops_provider.factory.shapes import DURATION, duration_text

__all__ = ["EXAMPLES", "schema"]

Schema = dict[str, Any]

EXAMPLES: dict[str, list[Any]] = yaml.safe_load((Path(__file__).parent / "examples.yaml").read_text(encoding="utf-8"))
# A parameter, somewhere in a text.
_SOME = r"\$\{[a-z][a-z0-9_]*(:lower)?\}"
# What the models' validators ask for, as far as a schema can say it.
_CHOICES: dict[type[BaseModel], tuple[str, tuple[str, ...]]] = {
    Pipeline: ("anyOf", ("data", "training", "scoring", "monitoring")),
    Data: ("oneOf", ("ingest", "from")),
    Source: ("oneOf", ("python_callable", "files", "sql")),
    Train: ("oneOf", ("python_callable", "estimator")),
    Monitoring: ("anyOf", ("drift", "performance")),
    FreeTask: ("anyOf", ("after", "before")),
    Volume: ("oneOf", ("claim", "secret", "config_map", "empty_dir")),
}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_LENGTHS = {"string": "minLength", "array": "minItems", "object": "minProperties"}
_PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Any: {},
    timedelta: {"type": "string", "pattern": f"^{DURATION}$", "examples": ["15m", "6h", "14d"]},
    date: {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "examples": ["2026-01-31"]},
}


def schema() -> Schema:
    """Return the schema as plain JSON, the same for the same version of this package."""
    whole, part = _Writer(partial=False), _Writer(partial=True)
    root = whole.mapping("", Pipeline)
    # An environment's part is laid over the file: nothing in it is required, and it has no environments of its own.
    overlay = part.mapping("", Pipeline)
    for own in ("environments", "extends"):
        del overlay["properties"][own]
    root["properties"]["environments"] |= {"additionalProperties": {"$ref": "#/$defs/environment"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pipeline of airflow-mlops-provider",
        **root,
        "examples": EXAMPLES[""],
        "$defs": {
            "parameter": {"type": "string", "pattern": _SOME, "description": "takes a value of `parameters`"},
            "runs_on": whole.place(),
            "part_of_runs_on": part.place(),
            "environment": {**overlay, "description": "A part of this file, laid over it in one environment."},
        },
    }


class _Writer:
    """Writes models as schemas; `partial`: of a mapping that is laid over another, so no key is required."""

    def __init__(self, *, partial: bool) -> None:
        self.partial = partial

    def mapping(self, path: str, model: type[BaseModel]) -> Schema:
        """Return the schema of a mapping with keys of its own."""
        words = section_words().get(path, {})
        properties = {key: self._key(f"{path}.{key}" if path else key, model, i, words) for key, i in keys(model)}
        if issubclass(model, TaskOptions) and model is not TaskOptions:
            properties |= self.mapping("defaults", TaskOptions)["properties"]
        written: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        required = [key for key, info in keys(model) if info.is_required()]
        if required and not self.partial:
            written["required"] = required
        if model in _CHOICES and not self.partial:
            kind, names = _CHOICES[model]
            written[kind] = [_given(name) for name in names]
        return written

    def place(self) -> Schema:
        """Return the schema of `runs_on`."""
        kubernetes, python = (RunsOn.model_fields[name] for name in ("kubernetes", "python"))
        written = {
            "python": {"type": ["string", "null"], "description": python.description},
            "kubernetes": {**self._value("runs_on.kubernetes", kubernetes.annotation), "description": "a pod"},
        }
        mapping = {"type": "object", "properties": written, "additionalProperties": False}
        return {"anyOf": [{"const": "local"}, mapping, {"$ref": "#/$defs/parameter"}, {"type": "null"}]}

    def _key(self, path: str, model: type[BaseModel], info: FieldInfo, words: dict[str, str]) -> Schema:
        if path == "environments":
            written: Schema = {"type": "object", "propertyNames": _limits("string", get_args(info.annotation)[0])}
        else:
            written = self._value(path, info.annotation, tuple(info.metadata))
        written["description"] = _plain_text(meaning(path, model, info, words))
        default = _default(info)
        if default is not None:
            written["default"] = default
        if path in EXAMPLES:
            written["examples"] = EXAMPLES[path]
        return written

    def _value(self, path: str, kind: Any, metadata: tuple[Any, ...] = ()) -> Schema:
        written = self._typed(path, kind, metadata)
        # What says the values takes none.
        return written if path.startswith(("parameters", "matrix")) else _open(written)

    def _typed(self, path: str, kind: Any, metadata: tuple[Any, ...]) -> Schema:
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self._typed(path, arguments[0], (*metadata, *arguments[1:]))
        if origin in (Union, types.UnionType):
            return self._union(path, arguments, metadata)
        if kind is RunsOn:
            return {"$ref": "#/$defs/part_of_runs_on" if self.partial else "#/$defs/runs_on"}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple:
            # A list is replaced whole, also by an environment.
            written: Schema = {"type": "array", "items": _Writer(partial=False)._value(path, arguments[0])}
            if path in ("tasks.NAME.after", "tasks.NAME.before"):
                written = {"anyOf": [written["items"], written]}
        elif origin is dict:
            written = {"type": "object", "additionalProperties": self._value(f"{path}.NAME", arguments[1])}
            if names := _limits("string", arguments[0]):
                written["propertyNames"] = names if path in ("parameters", "matrix") else _open(names)
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            written = self.mapping(path, kind)
        else:
            written = dict(_PLAIN[kind])
        return {**written, **_limits(written.get("type", ""), metadata)}

    def _union(self, path: str, kinds: tuple[Any, ...], metadata: tuple[Any, ...]) -> Schema:
        wide = [kind for kind in kinds if kind is not type(None) and not (kind is int and float in kinds)]
        some = [self._value(path, kind, metadata) for kind in wide]
        if path.endswith(".window"):
            some.append({"const": "expanding"})
        nothing = [{"type": "null"}] if type(None) in kinds else []
        if len(some) == 1 and "type" in some[0] and nothing:
            # What must be given is asked of the mapping: nothing at all has no keys to give.
            choice = {word: some[0].pop(word) for word in ("anyOf", "oneOf") if word in some[0]}
            asked = {"if": {"type": "object"}, "then": choice} if choice else {}
            said = some[0]["type"]
            return {**some[0], "type": [*([said] if isinstance(said, str) else said), "null"], **asked}
        return some[0] if len(some) == 1 and "$ref" in some[0] else {"anyOf": [*some, *nothing]}


def _open(written: Schema) -> Schema:
    """Return a schema that takes `${name}` besides: within text, or for a whole value of another type."""
    if "enum" in written:
        return {"anyOf": [written, {"$ref": "#/$defs/parameter"}]}
    if written.get("type") in ("integer", "number", "boolean"):
        return {**written, "type": [written["type"], "string"], "pattern": f"^{_SOME}$"}
    if "pattern" in written and _SOME not in written["pattern"]:
        return {**written, "pattern": f"{written['pattern']}|{_SOME}"}
    return written


def _given(key: str) -> Schema:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _limits(kind: str, metadata: Any) -> Schema:
    """Return what annotations say of a value of this JSON type: bounds, lengths, patterns."""
    said = metadata if isinstance(metadata, tuple) else getattr(metadata, "__metadata__", ())
    found: Schema = {}
    for one in [part for info in said for part in (info.metadata if isinstance(info, FieldInfo) else (info,))]:
        found |= {word: getattr(one, name) for name, word in _BOUNDS.items() if getattr(one, name, None) is not None}
        if getattr(one, "min_length", None) is not None:
            found[_LENGTHS[kind]] = one.min_length
        if getattr(one, "pattern", None):
            found["pattern"] = one.pattern
        if isinstance(one, BeforeValidator):
            found["type"] = ["string", "number"]  # a quantity: `cpu: 2`
    return found


def _default(info: FieldInfo) -> Any:
    value = info.default
    if info.is_required() or value in (None, (), {}) or isinstance(value, BaseModel):
        return None
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, dict):
        return {key: one.model_dump(exclude_defaults=True) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _plain_text(markdown: str) -> str:
    """Return a meaning without links: they lead from one page of the reference to another."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown)

"""What each key of a pipeline file means: one source for the reference pages and for the JSON schema."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from airflow_mlops_provider.factory.options import TaskOptions

__all__ = ["MEANINGS", "SECTIONS", "described", "keys", "meaning", "section_words"]

_FOLDER = Path(__file__).parent
MEANINGS: dict[str, str] = yaml.safe_load((_FOLDER / "meanings.yaml").read_text(encoding="utf-8"))
# The operator whose docstring says what a section's keys mean.
SECTIONS = {
    "data.transform": "DbtBuildOperator",
    "data.materialize": "FeastMaterializeOperator",
    "data.maintain": "LakeMaintainOperator",
    "training.train": "TrainOperator",
    "training.evaluate": "EvaluateOperator",
    "scoring": "BatchScoreOperator",
    "monitoring.drift": "DriftOperator",
    "monitoring.performance": "PerformanceOperator",
}


def meaning(path: str, model: type[BaseModel], info: FieldInfo, words: Mapping[str, str]) -> str:
    """Return what a key means: `meanings.yaml`, else the field's description, else the operator's docstring (`words`).

    In `meanings.yaml` it stands under its path, or under `Model.key`. Raises KeyError where nobody says.
    """
    key = path.rpartition(".")[2]
    said = MEANINGS.get(path) or MEANINGS.get(f"{model.__name__}.{key}") or info.description or words.get(key)
    if not said:
        raise KeyError(f"factory/meanings.yaml: say what {path} means")
    return said.replace(" (templated)", "")


def keys(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Return the fields by the key that the YAML writes, without the task options of a section."""
    hidden = set(TaskOptions.model_fields) if model is not TaskOptions and issubclass(model, TaskOptions) else set()
    return [(info.alias or name, info) for name, info in model.model_fields.items() if name not in hidden]


def described(docstring: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's text and what it says of each `:param`."""
    text, _, rest = docstring.partition(":param ")
    said = re.split(r"\n:param ", rest) if rest else []
    return text.strip(), {one.partition(":")[0]: " ".join(one.partition(":")[2].split()) for one in said}


@cache
def section_words() -> dict[str, dict[str, str]]:
    """Return by section's path what its operator says of its arguments. They are read, not imported: no Airflow."""
    wanted: dict[str, Any] = {}
    for source in sorted((_FOLDER.parent / "operators").glob("*.py")):
        for node in ast.parse(source.read_bytes()).body:
            if isinstance(node, ast.ClassDef) and node.name in SECTIONS.values():
                wanted[node.name] = described(ast.get_docstring(node) or "")[1]
    return {path: wanted[name] for path, name in SECTIONS.items()}

"""The reference pages say what the code says."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "generate_reference.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_pages_are_up_to_date(reference):
    behind = [path.name for path, text in reference.pages().items() if path.read_text() != text]
    assert behind == [], "run `python docs/generate_reference.py`"


def test_every_meaning_has_its_key(reference):
    known = {f"expectations.{name}" for name in reference.KNOWN}
    known |= {f"defaults.{key}" for key in reference.TaskOptions.model_fields}
    for path, model in [*reference.models(), *reference.models("runs_on.kubernetes", reference.Pod)]:
        keys = [info.alias or name for name, info in model.model_fields.items()]
        known |= {f"{path}.{key}" if path else key for key in keys} | {f"{model.__name__}.{key}" for key in keys}
    assert set(reference.MEANINGS) <= known


def test_a_key_without_a_meaning_is_an_error(reference):
    with pytest.raises(KeyError, match=re.escape("say what data.new means")):
        reference.meaning("data.new", reference.Pipeline, reference.FieldInfo(annotation=str), {})


def test_every_exported_operator_sensor_and_hook_is_described(reference):
    text = (DOCS / "operators.md").read_text()
    named = {
        one.name
        for folder in ("operators", "sensors", "hooks")
        for one in reference.classes(folder)
        if one.name.endswith(("Operator", "Sensor", "Hook")) and not one.module.endswith(".base")
    }
    assert len(named) >= 20
    assert {name for name in named if f"### {name}\n" not in text} == set()


@pytest.mark.parametrize(
    ("kind", "said"), [(bool, "true or false"), (tuple[str, ...], "list of text"), (int | str, "whole number or text")]
)
def test_types_in_the_readers_words(reference, kind, said):
    assert reference.words(kind) == said

"""An editor shows nothing red where a parameter stands, nor in a file that is composed."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from airflow_mlops_provider.factory.load import Document, Mark
from airflow_mlops_provider.factory.matrix import variants
from airflow_mlops_provider.factory.validate import pipeline_of
from tests.factory.test_schema import CHECK, PLACES, SMALLEST, WHOLE, accepted, parse, valid

TYPES = {str: "string", bool: "boolean", int: "integer", float: "number"}


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


def with_parameter(path: tuple[Any, ...]) -> dict[str, Any]:
    data = deepcopy(parse(WHOLE, "a.yaml").data)
    value = at(data, path)
    at(data, path[:-1])[path[-1]] = "${p}"
    data["parameters"] = {"p": {"type": TYPES[type(value)], "default": value}}
    return data


SCALARS = [path for path in PLACES if type(at(parse(WHOLE, "a.yaml").data, path)) in TYPES]


@pytest.mark.parametrize("path", SCALARS, ids=".".join("{}" for _ in "a").format)
def test_any_value_may_be_a_parameter_and_is_valid(path: tuple[Any, ...]) -> None:
    data = with_parameter(path)
    (variant,) = variants(Document("a.yaml", data, {(): Mark("a.yaml", 1, 1, 1, 1)}))

    assert variant.errors == []
    assert json.dumps(variant.document.data, sort_keys=True) == json.dumps(parse(WHOLE, "a.yaml").data, sort_keys=True)
    pipeline_of(variant.document)
    assert [error.message for error in CHECK.iter_errors(data)] == []


def test_a_name_and_a_key_may_hold_one() -> None:
    text = SMALLEST.replace("churn\n", 'churn_${country:lower}\nmatrix: {country: [SE, "NO"]}\n', 1)
    text = text.replace("visits", '"visits_${country:lower}"')

    assert valid(text)
    assert not valid(text.replace("${country:lower}", "{country}"))


GOOD = [
    "extends: base.yaml",
    "parameters: {a: {type: string}, b: {type: number, default: 0.5, choices: [0.5, 1]}}",
    "parameters: {a: {type: boolean, default: true}, b: {type: integer, default: null}}",
    "matrix: {country: [SE, NO], size: [1, 2.5, true]}",
    "matrix: null",
    "environments: {prod: {parameters: {a: {default: x}}, matrix: {country: [SE]}}}",
]
BAD = [
    "extends: [base.yaml]",
    "parameters: {a: {default: x}}",
    "parameters: {a: {type: text}}",
    "parameters: {a: {type: string, value: x}}",
    "parameters: {A: {type: string}}",
    "parameters: {a: {type: string, default: [x]}}",
    "matrix: {country: []}",
    "matrix: {country: SE}",
    "matrix: {country: [[SE]]}",
]


@pytest.mark.parametrize(("text", "good"), [*((text, True) for text in GOOD), *((text, False) for text in BAD)])
def test_schema_and_loader_agree_about_what_says_the_values(text: str, good: bool) -> None:
    assert (valid(f"{SMALLEST}{text}\n"), accepted(f"{SMALLEST}{text}\n")) == (good, good)


def test_an_environment_extends_nothing() -> None:
    assert not valid(f"{SMALLEST}environments: {{prod: {{extends: base.yaml}}}}\n")

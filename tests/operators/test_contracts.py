"""Each operator's arguments are its step's fields, by name."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from airflow_mlops_provider.contracts.base import StepSpec
from airflow_mlops_provider.factory.planning import OPERATORS
from airflow_mlops_provider.steps.registry import STEPS


def _operator(step: str) -> type:
    module, _, name = OPERATORS[step].rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("step", sorted(STEPS.keys() & OPERATORS.keys()))
def test_operator_and_contract_agree(step):
    operator = _operator(step)
    fields = STEPS[step].spec.model_fields
    assert operator.step == step
    assert {*operator.spec_fields} == {*fields} - {*StepSpec.model_fields, "batch"}
    if "batch" in fields:
        assert operator.batch_use == ("required" if fields["batch"].is_required() else "optional")
    else:
        assert operator.batch_use == "none"


@pytest.mark.parametrize("step", sorted(STEPS.keys() & OPERATORS.keys()))
def test_every_argument_is_explicit_keyword_only_documented_and_templated(step):
    operator = _operator(step)
    arguments = inspect.signature(operator.__init__).parameters
    for name in (*operator.spec_fields, *(("batch",) if operator.batch_use != "none" else ())):
        assert name in operator.template_fields
        if name == "timezone":  # every operator's
            continue
        assert arguments[name].kind is inspect.Parameter.KEYWORD_ONLY
        assert f":param {name}:" in operator.__doc__
    required = {name for name, field in STEPS[step].spec.model_fields.items() if field.is_required()}
    without_default = {name for name, a in arguments.items() if a.default is inspect.Parameter.empty}
    assert required - {"pipeline", "lake", "batch"} <= without_default

"""A step that does nothing, and its operator."""

from __future__ import annotations

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.registry import STEPS, Step

__all__ = ["TrivialOperator", "TrivialResult", "TrivialSpec", "trivial"]


class TrivialSpec(StepSpec):
    """Nothing to do."""


class TrivialResult(Contract):
    """It is done."""

    done: bool = True


def trivial(_spec: TrivialSpec, _context: StepContext) -> TrivialResult:
    return TrivialResult()


STEPS["trivial"] = Step("trivial", f"{__name__}:TrivialSpec", f"{__name__}:TrivialResult", f"{__name__}:trivial")


class TrivialOperator(StepOperator):
    """Run the step that does nothing."""

    step = "trivial"

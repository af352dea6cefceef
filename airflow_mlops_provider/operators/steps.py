"""The operator of each step, by the step's name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow_mlops_provider.operators.base import StepOperator

__all__ = ["OPERATORS", "operator_of"]

_PACKAGE = "airflow_mlops_provider.operators"
OPERATORS = {
    "ingest": f"{_PACKAGE}.ingest.IngestOperator",
    "validate": f"{_PACKAGE}.validate.ValidateOperator",
    "transform": f"{_PACKAGE}.transform.DbtBuildOperator",
    "materialize": f"{_PACKAGE}.materialize.FeastMaterializeOperator",
    "maintain": f"{_PACKAGE}.maintain.LakeMaintainOperator",
    "train": f"{_PACKAGE}.train.TrainOperator",
    "evaluate": f"{_PACKAGE}.evaluate.EvaluateOperator",
    "register": f"{_PACKAGE}.promote.MlflowRegisterOperator",
    "promote": f"{_PACKAGE}.promote.MlflowPromoteOperator",
    "rollback": f"{_PACKAGE}.promote.MlflowRollbackOperator",
    "score": f"{_PACKAGE}.score.BatchScoreOperator",
    "drift": f"{_PACKAGE}.monitor.DriftOperator",
    "performance": f"{_PACKAGE}.monitor.PerformanceOperator",
    "decide": f"{_PACKAGE}.decide.RetrainDecisionOperator",
}


def operator_of(step: str) -> type[StepOperator]:
    """Return the operator class of a step. Raises ConfigError for a step that has none."""
    if step not in OPERATORS:
        raise ConfigError(f"no operator runs a step {step!r}; known: {', '.join(OPERATORS)}")
    module, _, name = OPERATORS[step].rpartition(".")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]  # named in this table

"""Operator that fits a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import MlflowRunLink, run_url

__all__ = ["TrainOperator"]


class TrainOperator(StepOperator):
    """Fit a model on rows as known at their time, and log the run, the model and its profile in MLflow.

    :param model: registered name that the model will have (templated)
    :param dataset: entities, target and how features are joined: `{"entities": "labels", "target": "is_late"}`
        (templated)
    :param python_callable: `module.function(data, params)` of the bundle, or give `estimator` (templated)
    :param estimator: dotted name of an estimator of scikit-learn, XGBoost or LightGBM (templated)
    :param search: parameters to try, and how: `{"space": {"max_depth": {"low": 2, "high": 8}}, "trials": 20}`; needs
        `holdout` (templated)
    :param parameters: the trainer's own (templated)
    :param holdout: what is kept for `EvaluateOperator`: the newest stretch, or a share of the rows (templated)
    :param refit: fit once more on all rows, for what is registered
    :param seed: of the fit
    :param until: newest batch to use; default: the newest accepted one (templated)
    :param decision: id of the governor's decision that asked for it: its batch is then the newest (templated)
    :param experiment: MLflow's experiment; default: the model (templated)
    :param requirements: pip requirements that are logged with the model (templated)
    """

    step = "train"
    spec_fields = (
        "model",
        "dataset",
        "python_callable",
        "estimator",
        "search",
        "parameters",
        "holdout",
        "refit",
        "seed",
        "until",
        "decision",
        "experiment",
        "requirements",
        "timezone",
    )
    uses_mlflow = True
    operator_extra_links = (MlflowRunLink(),)

    def __init__(
        self,
        *,
        model: str,
        dataset: Mapping[str, Any],
        python_callable: str | None = None,
        estimator: str | None = None,
        search: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        holdout: timedelta | float | str | None = None,
        refit: bool | None = None,
        seed: int | None = None,
        until: str | None = None,
        decision: str | None = None,
        experiment: str | None = None,
        requirements: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.dataset = dataset
        self.python_callable = python_callable
        self.estimator = estimator
        self.search = search
        self.parameters = parameters
        self.holdout = holdout
        self.refit = refit
        self.seed = seed
        self.until = until
        self.decision = decision
        self.experiment = experiment
        self.requirements = requirements

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return the address of the run in MLflow."""
        url = run_url(MlflowHook(self.mlflow_conn_id).ui_url(), result.get("experiment_id"), result["run_id"])
        return {MlflowRunLink.name: url}

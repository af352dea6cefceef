"""Fit a model on what was known at each event, and record the run so that a retry finds it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.train import TrainResult, TrainSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext, load_function
from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.metrics import estimate
from airflow_mlops_provider.steps.profile import build_profile
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.training_data import LabelledSet, TrainingData

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from airflow_mlops_provider.contracts.profile import Profile

__all__ = ["PREDICTION", "train"]

# The profile's name for the model's own output.
PREDICTION = "prediction"
_EXAMPLE_ROWS = 1000
Trainer = Callable[[TrainingData, dict[str, Any]], Any]


def train(spec: TrainSpec, context: StepContext) -> TrainResult:
    """Fit on the rows before the holdout, and with `refit` once more on all of them.

    A finished run with the same run key is returned as it is. Same inputs and seed give the same
    predictions. Raises DataError if there are no rows on either side of the holdout.
    """
    client = models.connect(context)
    experiment = spec.experiment or spec.model
    found = models.find_result(client, experiment, context.run_key)
    if found is not None:
        context.say(f"run {found['run_id']} of an earlier try is finished: taken as it is")
        return TrainResult.model_validate(found)
    return _Training(spec, context, client, experiment).run()


class _Training:
    """One call of `train`: the rows, the trainer and the runs that it makes."""

    def __init__(self, spec: TrainSpec, context: StepContext, client: MlflowClient, experiment: str) -> None:
        self.spec, self.context, self.client, self.experiment = spec, context, client, experiment
        self.trainer = _trainer(spec, context)
        self.rows = LabelledSet(context.lake(spec), spec.dataset, until=spec.until or _decided(spec, context))

    def run(self) -> TrainResult:
        first, last, count = self.rows.bounds()
        end = self.rows.until.end
        start = end - self.spec.dataset.window if self.spec.dataset.window else None
        cut = end - self.spec.holdout if self.spec.holdout else None
        if (start or cut) and self.spec.dataset.event_timestamp is None:
            raise DataError("window and holdout need dataset.event_timestamp")
        fit_view = self.rows.select("fit_rows", since=start, before=cut)
        valid = self.rows.data(self.rows.select("holdout_rows", since=cut)) if cut else None
        data = self.rows.data(fit_view, valid)
        _check_sides(data, valid, first, cut)
        self.context.say(f"fitting on {len(data.y):,} of {count:,} rows before {cut or end}", progress=0.2)
        run_id, uri = self._fit(data, fit_view, judged=None)
        refit: tuple[str | None, str | None] = (None, None)
        if self.spec.refit and cut is not None:
            whole = self.rows.select("all_rows", since=start)
            self.context.say("fitting once more, the holdout included", progress=0.6)
            refit = self._fit(self.rows.data(whole), whole, judged=run_id)
        result = TrainResult(
            run_id=run_id,
            model_uri=uri,
            refit_run_id=refit[0],
            refit_model_uri=refit[1],
            rows=len(data.y),
            holdout_rows=0 if valid is None else len(valid.y),
            fitted_until=self.rows.last("fit_rows"),
            refitted_until=last if refit[0] else None,
            holdout_start=cut,
            until=self.rows.until.id,
            versions=self.rows.versions,
            experiment_id=models.experiment(self.context, self.client, self.experiment),
        )
        models.store_result(self.client, run_id, self.context.run_key, result)
        return result

    def _fit(self, data: TrainingData, view: str, judged: str | None) -> tuple[str, str]:
        import mlflow

        spec = self.spec
        mlflow.set_experiment(experiment_id=models.experiment(self.context, self.client, self.experiment))
        with mlflow.start_run(run_name=f"{self.rows.until.id}{' refit' if judged else ''}") as run:
            _seed(spec.seed)
            model = self.trainer(data, dict(spec.parameters))
            if not hasattr(model, "predict"):
                raise DataError(f"the trainer returned a {type(model).__name__}, which has no predict")
            predictions = models.predict(model, data.X)
            mlflow.log_params({**spec.parameters, "seed": spec.seed, "rows": len(data.y)})
            mlflow.set_tags(self._tags(judged))
            self._log_metrics(model, data)
            uri = models.log(
                model,
                data.X.head(_EXAMPLE_ROWS),
                client=self.client,
                profile=self._profile(view, predictions),
                metadata={"pipeline": spec.pipeline, "until": self.rows.until.id, "features": self.rows.features},
                requirements=spec.requirements,
            )
            return run.info.run_id, uri

    def _log_metrics(self, model: Any, data: TrainingData) -> None:
        import mlflow

        if data.valid is None:
            return
        scores = models.predict(model, data.valid.X)
        days = np.zeros(len(scores), dtype=np.int64)
        y = data.valid.y.to_numpy().astype(np.float64)
        names = ("log_loss", "roc_auc", "brier") if _is_binary(y) else ("rmse", "mae")
        mlflow.log_metrics({f"holdout_{name}": estimate(name, y, scores, days).value for name in names})

    def _tags(self, judged: str | None) -> dict[str, str]:
        tags = {
            "mlops.pipeline": self.spec.pipeline,
            "mlops.until": self.rows.until.id,
            "mlops.code": _code_version(self.trainer),
            **{f"mlops.version.{table}": str(number) for table, number in self.rows.versions.items()},
        }
        return tags | ({"mlops.judged_run": judged} if judged else {})

    def _profile(self, view: str, predictions: np.ndarray) -> Profile:
        con = self.rows.con
        con.register("predictions", pa.table({PREDICTION: predictions}))
        order = [*filter(None, [self.spec.dataset.event_timestamp]), *self.spec.dataset.unique_key]
        clause = f"order by {', '.join(map(identifier, order))}" if order else ""
        con.execute(
            f"create or replace temp view profiled as select * from (select * from {view} {clause}) "
            f"positional join predictions"
        )
        return build_profile(
            con,
            "profiled",
            [*self.rows.features, PREDICTION],
            timestamp=self.spec.dataset.event_timestamp,
            timezone=self.spec.timezone,
        )


def _decided(spec: TrainSpec, context: StepContext) -> str | None:
    """Return the batch of the decision that asked for this training; None for one that a person started."""
    known = DecisionLedger(context.lake(spec), spec.pipeline).decisions() if spec.decision else []
    return next((d.batch for d in known if d.id == spec.decision), None)


def _trainer(spec: TrainSpec, context: StepContext) -> Trainer:
    if spec.python_callable:
        function = load_function(spec.python_callable, spec.bundle)
        if "context" in inspect.signature(function).parameters:
            seeded = replace(context, seed=spec.seed)
            return lambda data, parameters: function(data, parameters, context=seeded)
        return function
    return _estimator(str(spec.estimator), spec.seed)


def _estimator(dotted: str, seed: int) -> Trainer:
    """Return a trainer around a scikit-learn estimator, text columns one-hot encoded, nulls imputed."""
    module, _, name = dotted.rpartition(".")
    if not module.startswith("sklearn."):
        raise DataError(f"estimator {dotted!r} is not scikit-learn's; give a python_callable for any other model")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise DataError(f"estimator {dotted!r}: {exc}") from exc
    from sklearn.base import BaseEstimator

    # scikit-learn's modules hold functions too that start a process or fetch an address.
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise DataError(f"{dotted!r} is no scikit-learn estimator")

    def fit(data: TrainingData, parameters: dict[str, Any]) -> Any:
        from sklearn.compose import make_column_selector, make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        seeded = {"random_state": seed} if "random_state" in inspect.signature(kind).parameters else {}
        numbers = SimpleImputer(strategy="median", keep_empty_features=True)
        texts = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=100, sparse_output=False)
        columns = make_column_transformer(
            (numbers, make_column_selector(dtype_include="number")),
            (texts, make_column_selector(dtype_include=object)),
        )
        return make_pipeline(columns, kind(**{**seeded, **parameters})).fit(data.X, data.y)

    return fit


def _check_sides(data: TrainingData, valid: TrainingData | None, first: datetime | None, cut: datetime | None) -> None:
    if not len(data.y):
        raise DataError(f"no row to fit on: the first is of {first}, the holdout begins at {cut}")
    if valid is not None and not len(valid.y):
        raise DataError(f"no row in the holdout since {cut}")


def _is_binary(y: np.ndarray) -> bool:
    return bool(np.isin(y, (0.0, 1.0)).all())


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # the user's libraries draw from the global generator


def _code_version(trainer: Trainer) -> str:
    """Return a fingerprint of the file that defines the trainer."""
    source = inspect.getsourcefile(inspect.unwrap(trainer))
    if source is None:
        return "unknown"
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]

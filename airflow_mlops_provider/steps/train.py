"""Fit a model on what was known at each event, and record the run so that a retry finds it."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.contracts.train import TrainResult, TrainSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.checkpoint import Checkpoint, clear
from airflow_mlops_provider.steps.context import StepContext, TrainingContext
from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.holdout import Holdout
from airflow_mlops_provider.steps.metrics import defined, estimate
from airflow_mlops_provider.steps.networks import check_scores, is_module, settled
from airflow_mlops_provider.steps.profile import build_profile
from airflow_mlops_provider.steps.rows import PLACE
from airflow_mlops_provider.steps.runs import MODEL_URI, data_tags, find_run, fitted, pinned, running
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.trainer import code_version, trainer_of
from airflow_mlops_provider.steps.training_data import LabelledSet, TrainingData
from airflow_mlops_provider.steps.tuning import Tuning
from airflow_mlops_provider.steps.workers import Worker, this_worker

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from airflow_mlops_provider.contracts.profile import Profile

__all__ = ["PREDICTION", "train"]

# The profile's name for the model's own output.
PREDICTION = "prediction"
_EXAMPLE_ROWS = 1000
_JUDGED, _REFIT = "judged", "refit"
_CODE = "mlops.code"


def train(spec: TrainSpec, context: StepContext) -> TrainResult:
    """Fit on the rows before the holdout, and with `refit` once more on all of them.

    A finished run with the same run key is returned as it is; one that was cut off is gone on with, on the same
    data, from the trainer's own checkpoint where it kept one. Same inputs and seed give the same predictions. Of
    several workers each fits on the data of the first one's run; the first alone writes to MLflow and the lake.
    Raises DataError if there are no rows on either side of the holdout, TransientError if SIGTERM ended it.
    """
    client, worker = models.connect(context), this_worker()
    experiment = spec.experiment or spec.model
    found = models.find_result(client, experiment, context.run_key)
    if found is not None:
        context.say(f"run {found['run_id']} of an earlier try is finished: taken as it is")
        result = TrainResult.model_validate(found)
    else:
        worker.once_there(partial(client.get_experiment_by_name, experiment))
        result = _Training(spec, context, client, models.experiment(context, client, experiment), worker).run()
    if worker.first:
        clear(context.lake(spec), context.run_key)
    return result


class _Training:
    """One call of `train`: the rows, the trainer and the runs that it makes or goes on with."""

    def __init__(
        self, spec: TrainSpec, context: StepContext, client: MlflowClient, experiment_id: str, worker: Worker
    ) -> None:
        self.spec, self.context, self.client, self.experiment_id = spec, context, client, experiment_id
        self.worker = worker
        self.trainer = trainer_of(spec)
        # Where the files lie and what is installed with the model does not change the fit.
        self.work = _digest(spec.model_dump_json(exclude={"bundle", "lake", "requirements"}, exclude_defaults=True))
        until, versions = pinned(self._earlier(_JUDGED))
        until = until or spec.until or _decided(spec, context)
        self.rows = LabelledSet(context.lake(spec), spec.dataset, until=until, versions=versions)
        self.holdout = Holdout(self.rows, spec)

    def run(self) -> TrainResult:
        data, valid, fit_view = self.holdout.fitted()
        kept = self.holdout.said()
        self.context.say(f"fitting on {len(data):,} of {self.rows.count():,} rows {kept}", progress=0.2)
        run_id, uri = self._fit(data, fit_view, judged=None)
        refit: tuple[str | None, str | None] = (None, None)
        if self.spec.refit and self.holdout.cut is not None:
            whole = self.rows.select("all_rows", since=self.holdout.start)
            self.context.say("fitting once more, the holdout included", progress=0.6)
            refit = self._fit(self.rows.data(whole), whole, judged=run_id)
        result = TrainResult(
            run_id=run_id,
            model_uri=uri,
            refit_run_id=refit[0],
            refit_model_uri=refit[1],
            rows=len(data),
            holdout_rows=0 if valid is None else len(valid),
            fitted_until=self.rows.last("fit_rows"),
            refitted_until=self.rows.last("all_rows") if refit[0] else None,
            holdout_start=self.holdout.cut,
            held_out=self.holdout.held_out,
            until=self.rows.until.id,
            versions=self.rows.versions,
            experiment_id=self.experiment_id,
        )
        if self.worker.first:
            models.store_result(self.client, run_id, result)
        return result

    def _fit(self, data: TrainingData, view: str, judged: str | None) -> tuple[str, str]:
        part = _REFIT if judged else _JUDGED
        earlier = self._earlier(part)
        done = fitted(earlier)
        if earlier is not None and done is not None:
            self.context.say(f"run {earlier.info.run_id} of an earlier try has its model: taken as it is")
            return earlier.info.run_id, done
        if earlier is not None and not self.worker.first:
            run_id = earlier.info.run_id
            self._trained(data, dict(self.spec.parameters), self._training_context(part, run_id))
            return run_id, f"runs:/{run_id}/model"
        if earlier is not None:
            self._say_continued(earlier)
        with running(
            earlier,
            self.experiment_id,
            f"{self.rows.until.id}{' refit' if judged else ''}",
            run_key=self.context.run_key,
            part=part,
            work=self.work,
            tags=self._tags(judged),
        ) as run:
            parameters = dict(self.spec.parameters) | self._searched(judged or run.info.run_id)
            model = self._trained(data, parameters, self._training_context(part, run.info.run_id))
            uri = self._logged(model, data, view, parameters)
            self.client.set_tag(run.info.run_id, MODEL_URI, uri)
            return run.info.run_id, uri

    def _searched(self, run_id: str) -> dict[str, Any]:
        """Return the parameters that the search found; the refitted twin takes those of the judged model.

        No trial is judged on the holdout: it is the gate's, and what was chosen by it would look better on it than it
        is.
        """
        spec = self.spec
        if spec.search is None:
            return {}
        data, valid = self.holdout.trial()

        def fit(params: dict[str, Any], record: Callable[[Mapping[str, float], int | None], None]) -> Any:
            context = self._training_context(f"trial-{_digest(repr(params))}", run_id)
            return self._trained(data, {**spec.parameters, **params}, replace(context, record=record))

        lake = self.context.lake(spec)
        tuning = Tuning(
            spec.search, lake, self.context.run_key, self.client, self.experiment_id, run_id, self.context.say
        )
        return dict(tuning.best(fit, valid, seed=spec.seed, work=self._made_from()))

    def _trained(self, data: TrainingData, parameters: dict[str, Any], context: TrainingContext) -> Any:
        _seed(self.spec.seed)
        with context.checkpoint.until_stopped():
            model = self.trainer(data, dict(parameters), context)
        if not self.worker.first:
            return model
        if is_module(model):
            return settled(model)
        if not hasattr(model, "predict"):
            raise DataError(
                f"the trainer returned a {type(model).__name__}, which has no predict and is no PyTorch module"
            )
        return model

    def _training_context(self, part: str, run_id: str) -> TrainingContext:
        import mlflow

        def record(metrics: Mapping[str, float], step: int | None) -> None:
            if worker.first:
                mlflow.log_metrics(dict(metrics), step=step, run_id=run_id)

        given, worker = self.context, self.worker
        lake, key = given.lake(self.spec), given.run_key
        return TrainingContext(
            given.run_key,
            given.connections,
            given.emit,
            self.spec.seed,
            checkpoint=Checkpoint(lake, key, part=part, work=self._made_from(), emit=given.emit, writes=worker.first),
            record=record,
            rank=worker.rank,
            workers=worker.workers,
        )

    def _made_from(self) -> str:
        return _digest(f"{self.work} {self.rows.until.id} {sorted(self.rows.versions.items())}")

    def _logged(self, model: Any, data: TrainingData, view: str, parameters: Mapping[str, Any]) -> str:
        import mlflow

        spec = self.spec
        predictions = _scores(model, data)
        if is_module(model):
            check_scores(predictions, binary=_is_binary(data.y.to_numpy().astype(np.float64)))
        mlflow.log_params({**parameters, "seed": spec.seed, "rows": len(data)})
        self._log_metrics(model, data)
        return models.log(
            model,
            next(data.frames()).head(_EXAMPLE_ROWS),
            client=self.client,
            profile=self._profile(view, predictions),
            metadata={"pipeline": spec.pipeline, "until": self.rows.until.id, "features": self.rows.features},
            requirements=spec.requirements,
            bundle=spec.bundle,
        )

    def _earlier(self, part: str) -> Run | None:
        find = partial(find_run, self.client, self.experiment_id, self.context.run_key, part, self.work)
        return self.worker.once_there(find)

    def _say_continued(self, earlier: Run) -> None:
        self.context.say(f"going on in run {earlier.info.run_id} of an earlier try")
        if earlier.data.tags.get(_CODE) != code_version(self.trainer):
            self.context.emit(Message("the trainer's file is another than in that try", level="warning"))

    def _log_metrics(self, model: Any, data: TrainingData) -> None:
        import mlflow

        if data.valid is None:
            return
        scores = _scores(model, data.valid)
        days = np.zeros(len(scores), dtype=np.int64)
        y = data.valid.y.to_numpy().astype(np.float64)
        names = ("log_loss", "roc_auc", "brier") if _is_binary(y) else ("rmse", "mae")
        found = {name: estimate(name, y, scores, days).value for name in names if defined(name, y, scores)}
        mlflow.log_metrics({f"holdout_{name}": value for name, value in found.items()})

    def _tags(self, judged: str | None) -> dict[str, str]:
        tags = {
            "mlops.pipeline": self.spec.pipeline,
            _CODE: code_version(self.trainer),
            **data_tags(self.rows.until.id, self.rows.versions),
        }
        return tags | ({"mlops.judged_run": judged} if judged else {})

    def _profile(self, view: str, predictions: np.ndarray) -> Profile:
        con = self.rows.con
        con.register("predictions", pa.table({PREDICTION: predictions}))
        con.execute(
            f"create or replace temp view profiled as select * from "
            f"(select * from {view} order by {identifier(PLACE)}) positional join predictions"
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


def _scores(model: Any, data: TrainingData) -> np.ndarray:
    return np.concatenate([models.predict(model, part) for part in data.frames()])


def _is_binary(y: np.ndarray) -> bool:
    return bool(np.isin(y, (0.0, 1.0)).all())


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # the user's libraries draw from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)  # of every device


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

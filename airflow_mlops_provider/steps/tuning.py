"""A training's search for parameters: which rows a trial is judged on, and where its trials are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from airflow_mlops_provider.contracts.search import Scalar, Search, Trial
from airflow_mlops_provider.steps.checkpoint import kept_beside
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.metrics import estimate, lower_is_better
from airflow_mlops_provider.steps.models import predict
from airflow_mlops_provider.steps.search import Report, search

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from airflow_mlops_provider.steps.training_data import TrainingData

__all__ = ["Tuning"]

_TRIALS = TypeAdapter(list[Trial])
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
Fit = Callable[[dict[str, Any], Callable[[Mapping[str, float], int | None], None]], Any]


@dataclass(frozen=True)
class Tuning:
    """The search of one training: its trials in the lake beside its checkpoints, and as runs below `run_id`."""

    spec: Search
    lake: Lake
    run_key: str
    client: MlflowClient
    experiment_id: str
    run_id: str
    say: Callable[[str], None]

    def best(self, fit: Fit, valid: TrainingData, *, seed: int, work: str) -> dict[str, Scalar]:
        """Return the best parameters: `fit(params, record)` gives a model, judged on `valid` by the metric.

        What `fit` records of that metric with a step lets a trial that goes badly be given up. Trials of an earlier
        try of the same `work` are not repeated.
        """
        known = self._known(work)
        done = list(known)

        def attempt(params: dict[str, Scalar], report: Report) -> float:
            def record(metrics: Mapping[str, float], step: int | None) -> None:
                if step is not None and self.spec.metric in metrics:
                    report(metrics[self.spec.metric], step)

            return self._judged(fit(dict(params), record), valid)

        def keep(trial: Trial) -> None:
            done.append(trial)
            self._keep(done, work)
            self._log(trial)
            figure = trial.state if trial.value is None else f"{self.spec.metric} {trial.value:.4f}"
            self.say(f"trial {len(done)} of {self.spec.trials}: {figure} with {trial.params} {trial.error}".rstrip())

        higher = not lower_is_better(self.spec.metric)
        found = search(self.spec, attempt, higher_is_better=higher, seed=seed, known=known, record=keep)
        self.say(f"best of {len(done)} trials: {self.spec.metric} {found.value:.4f} with {found.params}")
        return found.params

    def _judged(self, model: Any, valid: TrainingData) -> float:
        scores = predict(model, valid.X)
        days = np.zeros(len(scores), dtype=np.int64)
        value = estimate(self.spec.metric, valid.y.to_numpy().astype(np.float64), scores, days).value
        return abs(value) if self.spec.metric == "calibration_gap" else value

    def _known(self, work: str) -> list[Trial]:
        content = self.lake.get(self._path())
        data = json.loads(content) if content else {}
        return _TRIALS.validate_python(data["trials"]) if data.get("work") == work else []

    def _keep(self, trials: list[Trial], work: str) -> None:
        data = {"work": work, "trials": _TRIALS.dump_python(trials, mode="json")}
        self.lake.put(self._path(), json.dumps(data).encode())

    def _path(self) -> str:
        return kept_beside(self.lake, self.run_key, "search/trials.json")

    def _log(self, trial: Trial) -> None:
        tags = {"mlflow.parentRunId": self.run_id, "mlops.trial": str(trial.number)}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=f"trial {trial.number}").info.run_id
        for name, value in trial.params.items():
            self.client.log_param(run, name, value)
        if trial.value is not None:
            self.client.log_metric(run, self.spec.metric, trial.value)
        self.client.set_terminated(run, _STATUS[trial.state])

"""The trainer that a spec names: a function of the user's, or an estimator by name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from airflow_mlops_provider.contracts.train import TrainSpec
from airflow_mlops_provider.steps.context import TrainingContext, load_function
from airflow_mlops_provider.steps.estimators import estimator
from airflow_mlops_provider.steps.training_data import TrainingData

__all__ = ["Trainer", "code_version", "trainer_of"]

Trainer = Callable[[TrainingData, dict[str, Any], TrainingContext], Any]


def trainer_of(spec: TrainSpec) -> Trainer:
    """Return the spec's trainer, called with the context where it has a parameter of that name."""
    function = (
        load_function(spec.python_callable, spec.bundle)
        if spec.python_callable
        else estimator(str(spec.estimator), spec.seed)
    )
    takes_context = "context" in inspect.signature(function).parameters

    @wraps(function)
    def called(data: TrainingData, parameters: dict[str, Any], context: TrainingContext) -> Any:
        return function(data, parameters, **({"context": context} if takes_context else {}))

    return called


def code_version(trainer: Trainer) -> str:
    """Return a fingerprint of the file that defines the trainer."""
    source = inspect.getsourcefile(inspect.unwrap(trainer))
    if source is None:
        return "unknown"
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]

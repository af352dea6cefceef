"""Sections of the file made from the steps' specs: the same fields, without what the DAG itself knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, Union

from pydantic import create_model, model_validator
from pydantic.fields import FieldInfo

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.decide import RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import EvaluateSpec
from airflow_mlops_provider.contracts.maintain import MaintainSpec
from airflow_mlops_provider.contracts.materialize import MaterializeSpec
from airflow_mlops_provider.contracts.monitor import DriftSpec, PerformanceSpec
from airflow_mlops_provider.contracts.score import ScoreSpec
from airflow_mlops_provider.contracts.train import TrainingDataset, TrainSpec
from airflow_mlops_provider.contracts.transform import TransformSpec
from airflow_mlops_provider.factory.options import TaskOptions

__all__ = [
    "Dataset",
    "Drift",
    "Evaluate",
    "Maintain",
    "Materialize",
    "Performance",
    "Retrain",
    "Score",
    "Train",
    "Transform",
]

_KNOWN = frozenset({*StepSpec.model_fields, "model", "timezone", "batch"})


def _section(
    name: str,
    doc: str,
    spec: type[Contract],
    *,
    base: type[Contract] = Contract,
    without: tuple[str, ...] = (),
    optional: tuple[str, ...] = (),
    more: dict[str, FieldInfo] | None = None,
    checks: dict[str, Any] | None = None,
) -> type[Contract]:
    """Return a model of `spec`'s fields, besides those of `StepSpec`, model, timezone, batch and `without`.

    `optional` fields are filled from elsewhere where the YAML is silent; `more` adds fields of another spec.
    """
    fields = {key: info for key, info in spec.model_fields.items() if key not in _KNOWN and key not in without}
    fields |= more or {}
    definitions: dict[str, Any] = {key: _definition(info, key in optional) for key, info in fields.items()}
    return create_model(name, __base__=base, __doc__=doc, __validators__=checks, **definitions)


def _definition(info: FieldInfo, optional: bool) -> tuple[Any, Any]:  # a type as pydantic takes it
    if not optional:
        return info.annotation, info
    return Union[info.annotation, None], None  # noqa: UP007  # the annotation is a value here


def _trainer(self: Any) -> Any:  # a model made from TrainSpec
    if bool(self.python_callable) == bool(self.estimator):
        raise ValueError("give exactly one of python_callable, estimator")
    return self


def _gates(self: Any) -> Any:  # a model made from EvaluateSpec
    for metric, gate in self.gates.items():
        if gate.vs_champion is None and gate.at_least is None and gate.at_most is None:
            raise ValueError(f"gate {metric!r} says nothing: give vs_champion, at_least or at_most")
    return self


if TYPE_CHECKING:  # made when they run, so a type checker knows nothing of their fields
    Transform: TypeAlias = Any
    Materialize: TypeAlias = Any
    Maintain: TypeAlias = Any
    Dataset: TypeAlias = Any
    Train: TypeAlias = Any
    Evaluate: TypeAlias = Any
    Score: TypeAlias = Any
    Drift: TypeAlias = Any
    Performance: TypeAlias = Any
    Retrain: TypeAlias = Any
else:
    Transform = _section("Transform", "dbt build.", TransformSpec, base=TaskOptions)
    Materialize = _section("Materialize", "Features to Feast's online store.", MaterializeSpec, base=TaskOptions)
    Maintain = _section("Maintain", "Upkeep of the lake.", MaintainSpec, base=TaskOptions)
    Dataset = _section("Dataset", "Labelled rows.", TrainingDataset, optional=("entities",))
    Train = _section(
        "Train",
        "The fit.",
        TrainSpec,
        base=TaskOptions,
        without=("dataset", "holdout", "refit", "until", "decision"),
        checks={"trainer": model_validator(mode="after")(_trainer)},
    )
    Evaluate = _section(
        "Evaluate",
        "The judgement; `holdout` and `refit` are the trainer's.",
        EvaluateSpec,
        base=TaskOptions,
        without=("challenger", "dataset", "alias"),
        more={key: TrainSpec.model_fields[key] for key in ("holdout", "refit")},
        checks={"gates_say": model_validator(mode="after")(_gates)},
    )
    Score = _section("Score", "Predictions.", ScoreSpec, base=TaskOptions, without=("alias",), optional=("unique_key",))
    Drift = _section(
        "Drift", "Data drift.", DriftSpec, base=TaskOptions, without=("alias", "reference", "domain_classifier")
    )
    Performance = _section(
        "Performance",
        "Performance by labels.",
        PerformanceSpec,
        base=TaskOptions,
        optional=("labels", "target", "unique_key", "event_timestamp"),
    )
    Retrain = _section("Retrain", "The governor.", RetrainPolicy, base=TaskOptions, without=("first_after",))

"""Contract of the step that fits a model."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, Discriminator, Field, Tag, model_validator

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.search import Search

__all__ = ["ESTIMATOR_LIBRARIES", "HeldOut", "TrainResult", "TrainSpec", "Trained", "TrainingDataset"]

# Packages whose estimators may be named in place of a function.
ESTIMATOR_LIBRARIES = ("sklearn", "xgboost", "lightgbm")


def _kind_of_holdout(value: Any) -> str:
    # By pydantic's own rules a number could also be seconds.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "share" if number or (isinstance(value, str) and value.replace(".", "", 1).isdigit()) else "stretch"


# The newest stretch of data time, or a share of the rows.
HoldoutSize = Annotated[
    Annotated[timedelta, Tag("stretch")] | Annotated[float, Field(gt=0, le=0.5), Tag("share")],
    Discriminator(_kind_of_holdout),
]


class TrainingDataset(Contract):
    """Labelled rows and how their features are joined, each as known at its event's time."""

    entities: str = Field(description="lake table of labelled rows")
    target: str
    event_timestamp: str | None = None
    unique_key: tuple[str, ...] = ()
    feature_service: str | None = None
    columns: tuple[str, ...] | None = Field(
        None, description="columns of `entities` that are features; default: all but target, timestamp and key"
    )
    window: timedelta | None = Field(None, description="how far back rows are used; null: all of them (expanding)")


class TrainSpec(StepSpec):
    """Fit on rows of accepted batches up to `until`, without the `holdout`; with `refit` once more on all.

    The holdout is the newest stretch of data time, or a share of the rows: the same ones in every training.
    """

    model: str
    dataset: TrainingDataset
    python_callable: str | None = None
    estimator: str | None = Field(None, description="dotted name of scikit-learn's, XGBoost's or LightGBM's")
    parameters: dict[str, Any] = Field({}, description="any JSON: the trainer's own parameters")
    search: Search | None = Field(None, description="parameters are tried, and the best are taken")
    holdout: HoldoutSize | None = None
    refit: bool = False
    seed: int = 0
    until: str | None = Field(None, description="newest batch to use; null: the newest accepted one")
    decision: str | None = Field(None, description="id of the governor's decision: its batch is then the newest")
    experiment: str | None = None
    requirements: tuple[str, ...] = ()
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _one_trainer(self) -> Self:
        if bool(self.python_callable) == bool(self.estimator):
            raise ValueError("give exactly one of python_callable, estimator")
        if self.refit and isinstance(self.holdout, float):
            raise ValueError(
                "refit fits on the rows that were held out, and the next training holds the same share out: "
                "no row would be left that the champion has not seen; remove refit, or hold out a stretch of time"
            )
        return self


class HeldOut(Contract):
    """The share of the rows that a model never saw, by a hash of the columns `by`, in [0, share) of its range."""

    share: float = Field(gt=0, le=0.5)
    by: tuple[str, ...]


class TrainResult(Contract):
    """The judged model's run, and the refitted twin's where one was asked for.

    `fitted_until` is the last event the judged model saw, `refitted_until` the twin's; both are data time. Where rows
    have no event time it is the end of the newest batch. `held_out`: the share that was left out everywhere before.
    `versions` are the lake versions that were read. Of a model that was fitted elsewhere only `model_uri` must
    be known; without `fitted_until` and `holdout_start` every labelled row counts as new to it.
    """

    model_uri: str
    run_id: str | None = None
    refit_run_id: str | None = None
    refit_model_uri: str | None = None
    rows: int = 0
    holdout_rows: int = 0
    fitted_until: AwareDatetime | None = None
    refitted_until: AwareDatetime | None = None
    holdout_start: AwareDatetime | None = None
    held_out: HeldOut | None = None
    until: str | None = Field(None, description="newest batch that was read")
    versions: dict[str, int] = {}
    experiment_id: str | None = Field(None, description="MLflow's, for the address of the run's page")


def _by_address(given: TrainResult | str) -> TrainResult:
    return TrainResult(model_uri=given) if isinstance(given, str) else given


if TYPE_CHECKING:
    Trained = TrainResult
else:
    # What `TrainOperator` returned, the few fields of it that somebody else knows, or a model's address alone.
    Trained = Annotated[TrainResult | str, AfterValidator(_by_address)]

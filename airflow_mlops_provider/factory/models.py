"""The words of a pipeline file: strict models, whose sections are the fields of the steps' own specs."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator

from airflow_mlops_provider.contracts.base import Contract, Json
from airflow_mlops_provider.contracts.ingest import Source
from airflow_mlops_provider.contracts.validate import Checks
from airflow_mlops_provider.factory.errors import nearest
from airflow_mlops_provider.factory.options import TaskOptions, Tries
from airflow_mlops_provider.factory.sections import (
    Dataset,
    Drift,
    Evaluate,
    Maintain,
    Materialize,
    Performance,
    Retrain,
    Score,
    Train,
    Transform,
)

__all__ = [
    "Approval",
    "Data",
    "FreeTask",
    "Monitoring",
    "Notify",
    "Parameter",
    "Parameters",
    "Pipeline",
    "Scoring",
    "Training",
]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$")]
Label = Annotated[str, StringConstraints(pattern=r"^[\w.:-]{1,100}$")]
Scalar = bool | int | float | str
Event = Literal["refused", "drift", "promoted", "rolled_back", "failed", "missed_deadline"]
_DEADLINE = "longest time from a run being queued to its end; later, people are told (event `missed_deadline`)"


class Data(Contract):
    """Data comes in: the DAG `<pipeline>-data`. With `from`, another pipeline's data is used."""

    schedule: str = Field("@daily", description="preset, five cron fields, or an asset's uri")
    start: date | None = Field(None, description="first day of the first batch; no run is made before")
    end: date | None = Field(None, description="no run is made for a batch that ends later")
    from_: Name | None = Field(None, alias="from", description="pipeline whose data section is used")
    ingest: dict[Name, Source] = Field({}, description="datasets that come in, by name")
    validate_: dict[Name, Checks] = Field({}, alias="validate")
    transform: Transform | None = None
    materialize: Materialize | None = None
    maintain: Maintain | None = None
    deadline: timedelta | None = Field(None, description=_DEADLINE)

    @model_validator(mode="after")
    def _source(self) -> Self:
        if bool(self.from_) == bool(self.ingest):
            raise ValueError("give exactly one of ingest, from")
        if self.from_ and self.model_fields_set - {"from_"}:
            raise ValueError("with `from` the other pipeline's data section says everything; remove the other keys")
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be later than start")
        return self


class Approval(Contract):
    """People who must agree before a promotion."""

    approvers: tuple[str, ...] = Field(min_length=1)
    timeout: timedelta = timedelta(days=3)


class Training(Contract):
    """The DAG `<pipeline>-train`: it has no schedule, monitoring or a person starts it."""

    dataset: Dataset
    train: Train
    evaluate: Evaluate | None = None
    approval: Approval | None = None
    first_after: int = Field(1, ge=1, description="labelled batches before the first training")
    deadline: timedelta | None = Field(None, description=_DEADLINE)


class Scoring(Score):  # type: ignore[misc]  # made from the step's spec
    """The DAG `<pipeline>-score`."""

    reconcile: str = Field("@daily", description="wakes the DAG on the wall clock, too")
    deadline: timedelta | None = Field(None, description=_DEADLINE)


class Monitoring(Contract):
    """The DAG `<pipeline>-monitor`."""

    drift: Drift | None = None
    performance: Performance | None = None
    retrain: Retrain | None = None
    schedule: str | None = Field(
        None, description="without data and scoring: preset, five cron fields, or an asset's uri"
    )
    reconcile: str = Field("@daily", description="wakes the DAG on the wall clock, too")
    deadline: timedelta | None = Field(None, description=_DEADLINE)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.drift is None and self.performance is None:
            raise ValueError("give drift, performance or both")
        return self


class FreeTask(Tries):
    """A task of the user's own, by its operator: behind and before any tasks of one of the four DAGs."""

    operator: str = Field(description="dotted name of an operator's class")
    arguments: Json = Field({}, description="its keyword arguments")
    after: tuple[Name, ...] = Field((), description="a task, or a list of them, that it waits for")
    before: tuple[Name, ...] = Field((), description="a task, or a list of them, that waits for it")

    @field_validator("after", "before", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not (self.after or self.before):
            raise ValueError("give after, before or both: which tasks does it stand between?")
        return self


class Parameter(Contract):
    """A value that the file takes as `${name}`, of one type."""

    type: Literal["string", "integer", "number", "boolean"] = Field(description="of its values")
    default: Scalar | None = Field(None, description="its value where no matrix gives one")
    choices: tuple[Scalar, ...] = Field((), description="the only values that it may have; default, any of its type")


class Parameters(Contract):
    """What a pipeline file says of its parameters; see the same keys of `Pipeline`."""

    parameters: dict[Name, Parameter] = Field({})
    matrix: dict[Name, Annotated[tuple[Scalar, ...], Field(min_length=1)]] | None = None


class Notify(Contract):
    """Who hears of a pipeline's turns: an Airflow notifier, given `arguments`."""

    on: tuple[Event, ...] = Field(get_args(Event), min_length=1, description="default: all")
    notifier: str = Field(description="dotted name of a notifier's class")
    arguments: Json = Field({}, description="its keyword arguments")


class Pipeline(Contract):
    """One model's life. `model` is its name in MLflow (default: the pipeline's), `lake` a folder or address."""

    pipeline: Name
    owner: Label = "airflow"
    timezone: str = "UTC"
    model: ModelName | None = None
    alias: Name = "champion"
    lake: str | None = None
    tags: tuple[Label, ...] = ()
    defaults: TaskOptions = TaskOptions()
    data: Data | None = None
    training: Training | None = None
    scoring: Scoring | None = None
    monitoring: Monitoring | None = None
    tasks: dict[Name, FreeTask] = Field({}, description="tasks of your own, by name")
    notify: Notify | None = None
    environments: dict[Name, Json] = Field({}, description="a part of this file, laid over it by environment")
    extends: str | None = Field(None, description="a file that this one is laid over")
    parameters: dict[Name, Parameter] = Field({}, description="values that the file takes as `${name}`")
    matrix: dict[Name, Annotated[tuple[Scalar, ...], Field(min_length=1)]] | None = Field(
        None, description="values by parameter: a pipeline for each combination"
    )

    @cached_property
    def said(self) -> dict[str, Any]:
        """What the file says, as JSON by the fields' names. Dumped whole: pydantic builds each model that is asked."""
        return self.model_dump(mode="json", exclude_unset=True)

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = nearest(value, available_timezones()) or "; write one such as America/New_York"
            raise ValueError(f"no time zone {value!r}{near}") from None
        return value

    @model_validator(mode="after")
    def _some_section(self) -> Self:
        if not (self.data or self.training or self.scoring or self.monitoring):
            raise ValueError("no section: give at least one of data, training, scoring, monitoring")
        return self

"""The words of a pipeline file: strict models, whose sections are the fields of the steps' own specs."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator

from airflow_mlops_provider.contracts.base import Contract, Json
from airflow_mlops_provider.contracts.ingest import Source
from airflow_mlops_provider.contracts.validate import Checks
from airflow_mlops_provider.factory.errors import nearest
from airflow_mlops_provider.factory.options import TaskOptions
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

__all__ = ["Approval", "Data", "Monitoring", "Notify", "Pipeline", "Scoring", "Training"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$")]
Label = Annotated[str, StringConstraints(pattern=r"^[\w.:-]{1,100}$")]


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


class Scoring(Score):  # type: ignore[misc]  # made from the step's spec
    """The DAG `<pipeline>-score`."""

    reconcile: str = Field("@daily", description="wakes the DAG on the wall clock, too")


class Monitoring(Contract):
    """The DAG `<pipeline>-monitor`."""

    drift: Drift | None = None
    performance: Performance | None = None
    retrain: Retrain | None = None
    schedule: str | None = Field(
        None, description="without data and scoring: preset, five cron fields, or an asset's uri"
    )
    reconcile: str = Field("@daily", description="wakes the DAG on the wall clock, too")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.drift is None and self.performance is None:
            raise ValueError("give drift, performance or both")
        return self


class Notify(Contract):
    """Who hears of a pipeline's turns: an Airflow notifier, given `arguments`."""

    on: tuple[Literal["refused", "drift", "promoted", "rolled_back", "failed"], ...] = Field(
        ("refused", "drift", "promoted", "rolled_back", "failed"), min_length=1, description="default: all"
    )
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
    notify: Notify | None = None
    environments: dict[Name, Json] = Field({}, description="a part of this file, laid over it by environment")

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

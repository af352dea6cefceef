"""Contract of the governor: monitoring history and policy in, a decision with its reason out."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import PredictionEffect

__all__ = [
    "DRIFT",
    "WEEKDAYS",
    "WHEN",
    "Budget",
    "Condition",
    "Days",
    "Debounce",
    "DecideResult",
    "DecideSpec",
    "Decision",
    "EndedTraining",
    "Observation",
    "Quiet",
    "RetrainPolicy",
]

# What a condition may name beside the metrics that are measured.
DRIFT = ("drifted_columns", "named_columns", "max_effect")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
# As `date.weekday()` counts them.
WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Condition(Contract):
    """A bound on a monitored figure; true where any given bound is crossed, with `alpha` by more than chance."""

    above: float | None = None
    below: float | None = None
    abs_above: float | None = None
    alpha: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description="how often in 28 days chance alone may cross the bound: a one-sided t test by the figure's own "
        "standard error, over the batches of the last 7, 14 and 28 days",
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.alpha is not None and self.above is None and self.below is None and self.abs_above is None:
            raise ValueError("alpha says how surely a bound is crossed: give above, below or abs_above")
        return self


# What asks for a training where nobody says: docs/retraining.md has the figures.
WHEN = {
    "calibration_gap": Condition(abs_above=0.01, alpha=0.001),
    "calibration_slope": Condition(below=0.95, above=1.05, alpha=0.001),
}


class Debounce(Contract):
    """At least `times` of the last `of` batches that could ask must have asked, the newest among them."""

    times: int = Field(ge=1)
    of: int = Field(ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.times > self.of:
            raise ValueError(f"{self.times} of {self.of} batches can never ask: times is at most of")
        return self


class Budget(Contract):
    """At most `trainings` in any `per` of data time."""

    trainings: int = Field(ge=0)
    per: timedelta


class Days(Contract):
    """Days of a calendar, both ends counted."""

    first: date
    last: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last {self.last} is before first {self.first}")
        return self


class Quiet(Contract):
    """Days, in data time and the batch's own zone, on which no training is started.

    The day is that of the batch's end: a daily batch of Friday ends on Saturday at midnight. There are no hours:
    batches of a day or more all end at the same one, so that hours would hold back all of them or none.
    """

    weekdays: tuple[Weekday, ...] = ()
    dates: tuple[Days, ...] = ()


class RetrainPolicy(Contract):
    """When to retrain. Any condition of `when` asks for it; all else may say wait."""

    when: dict[str, Condition] = WHEN
    debounce: Debounce | None = None
    cooldown: timedelta = timedelta(0)
    budget: Budget | None = None
    quiet: Quiet | None = None
    alert_after: int | None = Field(None, ge=1, description="challengers refused in a row before people are told")
    ask: bool = Field(False, description="a person must agree before a training starts: Airflow's part, not this one's")
    first_after: int = Field(1, ge=1, description="labelled batches before the first training")

    @model_validator(mode="after")
    def _have_errors(self) -> Self:
        without = [name for name in DRIFT if name in self.when and self.when[name].alpha is not None]
        if without:
            raise ValueError(f"{', '.join(without)} has no standard error: leave out alpha")
        return self


class Observation(Contract):
    """What the governor sees of one monitored batch; `end` is data time, `timezone` the batch's own.

    `effects`: what the drift of a column does to the champion's predictions, the largest first.
    """

    batch: str
    end: AwareDatetime
    timezone: str = "UTC"
    labelled: int
    version: str | None
    metrics: dict[str, MetricEstimate] = {}
    drifted: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    max_column: str | None = None
    max_effect: float | None = None
    effects: dict[str, PredictionEffect] = {}


class EndedTraining(Contract):
    """A training that has ended: `until` is the newest batch that it read, `end` that batch's end in data time."""

    until: str
    end: AwareDatetime
    version: str
    verdict: Literal["accepted", "refused"]
    reason: str = ""


class Decision(Contract):
    """One line of the decision ledger; `id` is the DAG run id of the training that `retrain` starts.

    `running` is the training that had not ended then, `alert` what people are told of challengers refused in a row.
    `recorded_at`, on the wall clock, is when its history was read, for a replay: the governor knows data time alone.
    `run_key` is the work that recorded it: a retry tells of what the try before it decided.
    """

    id: str
    batch: str
    at: AwareDatetime = Field(description="data time: the end of the batch")
    decision: Literal["none", "wait", "retrain"]
    reason: str
    champion: str | None = None
    running: str | None = None
    alert: str | None = None
    recorded_at: AwareDatetime | None = None
    run_key: str | None = None


class DecideSpec(StepSpec):
    """Decide for every monitored batch that has no decision yet, in order."""

    model: str
    labels: str = Field(description="lake table of labelled rows: its batches are decided on")
    retrain: RetrainPolicy
    alias: str = "champion"


class DecideResult(Contract):
    """Decisions of this run key, in order; `training` is the newest one that asks for a training."""

    decisions: tuple[Decision, ...] = ()
    training: Decision | None = None

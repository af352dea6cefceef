"""Contract of the governor: monitoring history and policy in, a decision with its reason out."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import AwareDatetime, Field

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.evaluate import MetricEstimate

__all__ = ["Budget", "Condition", "DecideResult", "DecideSpec", "Decision", "Observation", "RetrainPolicy"]


class Condition(Contract):
    """A bound on a monitored figure; true where any given bound is crossed."""

    above: float | None = None
    below: float | None = None
    abs_above: float | None = None


class Budget(Contract):
    """At most `trainings` in any `per` of data time."""

    trainings: int = Field(ge=0)
    per: timedelta


class RetrainPolicy(Contract):
    """When to retrain. Any condition of `when` asks for it; cool-down, budget and a running training may say wait."""

    when: dict[str, Condition] = {}
    cooldown: timedelta = timedelta(0)
    budget: Budget | None = None
    first_after: int = Field(1, ge=1, description="labelled batches before the first training")


class Observation(Contract):
    """What the governor sees of one monitored batch; `end` is data time."""

    batch: str
    end: AwareDatetime
    labelled: int
    version: str | None
    metrics: dict[str, MetricEstimate] = {}
    drifted: tuple[str, ...] = ()
    max_effect: float | None = None


class Decision(Contract):
    """One line of the decision ledger; `id` is the DAG run id of the training that `retrain` starts."""

    id: str
    batch: str
    at: AwareDatetime = Field(description="data time: the end of the batch")
    decision: Literal["none", "wait", "retrain"]
    reason: str
    champion: str | None = None


class DecideSpec(StepSpec):
    """Decide for every monitored batch that has no decision yet, in order."""

    model: str
    labels: str = Field(description="lake table of labelled rows: its batches are decided on")
    retrain: RetrainPolicy
    alias: str = "champion"


class DecideResult(Contract):
    """Decisions made now, in order; `training` is the newest one that asks for a training."""

    decisions: tuple[Decision, ...] = ()
    training: Decision | None = None

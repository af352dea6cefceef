"""Contract of replaying retraining policies over what a pipeline's governor saw."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.decide import Decision, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate

__all__ = ["KeptMetric", "Replay", "ReplayedDecision", "SimulateResult", "SimulateSpec", "SimulatedBatch"]


class SimulateSpec(StepSpec):
    """Replay each of `policies` over the history of a pipeline. Nothing is written."""

    model: str
    labels: str = Field(description="lake table of labelled rows: its batches are decided on")
    policies: dict[str, RetrainPolicy] = Field(min_length=1, description="by a name that the result repeats")
    alias: str = "champion"


class ReplayedDecision(Contract):
    """What a policy says of a batch. `judged` is the version whose figures it judged.

    `own`: that is the champion that the policy would have had. Else the policy has left history: it trained where
    nobody did, or kept a version that nobody measured any more, and the figures are those that history has.
    `metrics` are its champion's on this batch as they were measured, in shadow too; empty where nobody did.
    `training`, of a decision to train: `same` as history's, against the same champion; `other`: history made it
    against another champion, so that its verdict does not count here; `never`: there is no such model.
    """

    decision: Literal["none", "wait", "retrain"]
    reason: str
    alert: str | None = None
    judged: str | None = None
    own: bool = True
    training: Literal["same", "other", "never"] | None = None
    metrics: dict[str, MetricEstimate] = {}


class SimulatedBatch(Contract):
    """A batch in history, and what each policy says of it, in the policies' order.

    `version` scored it with `metrics`, as the newest outcomes have them, and `shadow_version` in shadow. `happened`
    says what became of the trainings on it. `recorded` is the ledger's decision; null where there is none.
    """

    batch: str
    at: AwareDatetime = Field(description="data time: the end of the batch")
    version: str | None = None
    metrics: dict[str, MetricEstimate] = {}
    shadow_version: str | None = None
    shadow: dict[str, MetricEstimate] = {}
    recorded: Decision | None = None
    happened: str = ""
    replays: tuple[ReplayedDecision, ...] = ()


class KeptMetric(Contract):
    """A metric's mean over the `batches` on which the policy's champion was measured, each batch alike.

    Of a calibration gap, the mean without its sign: gaps must not cancel out. `served` is the mean of the champion
    that served, over the same batches. On `unknown` ones, with figures of the one that served, the policy's champion
    was not measured: those are in neither.
    """

    value: float | None
    served: float | None
    batches: int
    unknown: int


class Replay(Contract):
    """A policy's totals. Of `trainings`, `made` were made in history too, the others never: they have no model.

    `promoted` and `refused` are of those that were judged against this policy's own champion. Of the `decided`
    decisions of the ledger `same` are this policy's too, `exact` with the same reason.
    """

    name: str
    policy: RetrainPolicy
    trainings: int
    made: int
    promoted: int
    refused: int
    decided: int
    same: int
    exact: int
    kept: dict[str, KeptMetric] = {}


class SimulateResult(Contract):
    """The batches in the order in which they were decided on; `trainings`, `promoted` and `refused` are history's."""

    batches: tuple[SimulatedBatch, ...] = ()
    trainings: int = 0
    promoted: int = 0
    refused: int = 0
    served: dict[str, KeptMetric] = {}
    replays: tuple[Replay, ...] = ()

"""Contracts of registering, promoting and rolling back a model version."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.evaluate import EvaluateResult
from airflow_mlops_provider.contracts.train import Trained

__all__ = [
    "PromoteResult",
    "PromoteSpec",
    "Promotion",
    "RegisterResult",
    "RegisterSpec",
    "RollbackResult",
    "RollbackSpec",
]


class Promotion(Contract):
    """One line of a model's promotion ledger; `sequence` counts from 1 without a gap."""

    sequence: int
    kind: Literal["promote", "rollback", "outside"]
    version: str
    former: str | None = None
    batch: str | None = Field(None, description="newest batch that the version was fitted on")
    fitted_until: AwareDatetime | None = None
    run_id: str | None = None
    judged_run_id: str | None = None
    reason: str = ""
    run_key: str = ""
    recorded_at: AwareDatetime


class RegisterSpec(StepSpec):
    """Make a model version of what was trained, always, with the verdict as its tags."""

    model: str
    trained: Trained
    verdict: EvaluateResult


class RegisterResult(Contract):
    """The version that now exists in MLflow's registry."""

    model: str
    version: str
    source: str
    run_id: str | None = None
    verdict: Literal["accepted", "refused"]


class PromoteSpec(StepSpec):
    """Make `version` champion, only from the ledger sequence at which it was judged.

    `version` empty: register `model_uri` first. `expected_sequence` empty: the sequence found now.
    """

    model: str
    version: str | None = None
    model_uri: str | None = None
    alias: str = "champion"
    expected_sequence: int | None = None
    trained: Trained | None = None
    verdict: EvaluateResult | None = None
    reason: str = ""


class PromoteResult(Contract):
    """The promotion's record; `written` is false where a retry found it done."""

    promotion: Promotion
    written: bool


class RollbackSpec(StepSpec):
    """Restore the former champion if its shadow beat the new one in probation (or at once, with `force`)."""

    model: str
    alias: str = "champion"
    probation: int = Field(1, ge=0, description="batches in which the former champion scores in shadow")
    level: float = Field(0.9, gt=0.5, lt=1, description="of the two-sided interval of the daily loss difference")
    force: bool = False
    reason: str = ""


class RollbackResult(Contract):
    """What was decided; `promotion` is there only where a rollback happened."""

    rolled_back: bool
    reason: str
    promotion: Promotion | None = None
    written: bool = False

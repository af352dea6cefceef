"""Contract of the step that scores a dataset with the champion."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops_provider.contracts.base import Contract, DatasetRef, StepSpec

__all__ = ["ScoreResult", "ScoreSpec", "ScoredBatch"]


class ScoreSpec(StepSpec):
    """Score every accepted batch of `dataset` that is not scored yet, in order."""

    model: str
    dataset: str
    alias: str = "champion"
    event_timestamp: str | None = None
    unique_key: tuple[str, ...] = ()
    feature_service: str | None = None
    probation: int = Field(1, ge=0)
    batch_rows: int = Field(65_536, ge=1, description="rows in memory at a time")


class ScoredBatch(Contract):
    """One batch's predictions; `version` is the champion's, `shadow_version` the former champion's in probation."""

    batch: str
    rows: int
    version: str | None
    shadow_version: str | None = None
    predictions: DatasetRef | None = None


class ScoreResult(Contract):
    """Batches in the order in which they were scored; `no_champion` names those passed over for want of one."""

    batches: tuple[ScoredBatch, ...] = ()
    no_champion: tuple[str, ...] = ()

"""Contracts of watching drift and performance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from airflow_mlops_provider.contracts.base import Contract, DatasetRef, StepSpec
from airflow_mlops_provider.contracts.evaluate import MetricEstimate

__all__ = [
    "BatchDrift",
    "BatchPerformance",
    "ColumnDrift",
    "DriftResult",
    "DriftSpec",
    "PerformanceResult",
    "PerformanceSpec",
]


class ColumnDrift(Contract):
    """Distances of one column from its reference, and the alarm level of the one that decides.

    `psi` in nats, `jensen_shannon` in [0, 1] (base 2, square root), `wasserstein` over the reference's
    standard deviation (numeric only). `level`: what the same distance reaches between windows of the
    reference itself at the stated false-alarm rate; null where the reference is too short.
    """

    column: str
    psi: float
    jensen_shannon: float
    wasserstein: float | None = None
    null_rate: float
    reference_null_rate: float
    level: float | None = None
    drifted: bool
    paged: bool = False
    detail: str = ""


class DriftSpec(StepSpec):
    """Compare what was scored (or `current`) with the champion's stored profile (or `reference`)."""

    model: str | None = None
    alias: str = "champion"
    current: DatasetRef | None = None
    reference: DatasetRef | None = None
    dataset: str | None = None
    event_timestamp: str | None = None
    feature_service: str | None = None
    columns: tuple[str, ...] | None = None
    blocks: Literal["day"] = "day"
    false_alarms: float = Field(0.01, gt=0, lt=0.5)
    page: tuple[str, ...] = ()
    timezone: str = "UTC"
    report: bool = Field(True, description="write Evidently's HTML where a paged column is over its level")


class BatchDrift(Contract):
    """Drift of one batch; `batch` is null for a comparison of two tables."""

    batch: str | None
    rows: int
    version: str | None = None
    columns: tuple[ColumnDrift, ...]
    drifted: tuple[str, ...]
    paged: tuple[str, ...]
    max_column: str | None = None
    max_effect: float | None = None
    report: str | None = None


class DriftResult(Contract):
    """One entry a batch that was not monitored yet, in order."""

    batches: tuple[BatchDrift, ...] = ()
    no_champion: tuple[str, ...] = ()


class PerformanceSpec(StepSpec):
    """Join predictions of scored batches with their labels and measure them by day blocks."""

    model: str
    labels: str
    target: str
    unique_key: tuple[str, ...]
    event_timestamp: str
    metrics: tuple[str, ...] = ("roc_auc", "log_loss", "calibration_gap")
    timezone: str = "UTC"


class BatchPerformance(Contract):
    """Metrics of the champion that scored the batch; `shadow` those of the former one in probation.

    `shadow_difference` is the daily mean of champion loss minus shadow loss (log loss or squared error).
    """

    batch: str
    version: str | None
    rows: int
    labelled: int
    metrics: dict[str, MetricEstimate] = {}
    shadow_version: str | None = None
    shadow: dict[str, MetricEstimate] = {}
    shadow_difference: MetricEstimate | None = None


class PerformanceResult(Contract):
    """One entry a batch that was not measured yet, in order."""

    batches: tuple[BatchPerformance, ...] = ()
    no_champion: tuple[str, ...] = ()

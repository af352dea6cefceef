"""Contracts of watching drift and performance."""

from __future__ import annotations

from datetime import timedelta
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
    "PredictionEffect",
    "Shares",
    "SlicePerformance",
]


class PredictionEffect(Contract):
    """What one column's drift does to the predictions, in their unit, on a sample of `rows`.

    `mean`: by how much it raises their mean; `each`: by how much it moves a row's prediction, up or down, on average.
    """

    mean: float
    each: float
    rows: int


class Shares(Contract):
    """Shares of the rows in `places`, bins or the most frequent levels, the last that of nulls."""

    places: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


class ColumnDrift(Contract):
    """Distances of one column from its reference, and the alarm level of the one that decides.

    `psi` in nats, `jensen_shannon` and `hellinger` in [0, 1] (the former base 2, square root), `wasserstein` over
    the reference's standard deviation and `kolmogorov_smirnov` at the bins' edges (both of numbers and dates only).
    `new_levels`: share of rows whose level the reference never had; null where it has none or a rest bucket.

    `level`: what Jensen-Shannon reaches where nothing happened, at the stated false-alarm rate of one column;
    `page_level`: at that of all watched columns together; null where the column is not watched or `seasonal`.
    `null` says what both come from: windows of the reference's own day `blocks`, or `rows` taken as independent.
    A `named` column is over its page level, or its nulls are; a seasonal one only by its nulls.
    `effect`: of a drifted column that the model reads; null where it was not looked at. `shares`: of a drifted column.
    """

    column: str
    psi: float
    jensen_shannon: float
    wasserstein: float | None = None
    hellinger: float | None = None
    kolmogorov_smirnov: float | None = None
    null_rate: float
    reference_null_rate: float
    new_levels: float | None = None
    level: float | None = None
    page_level: float | None = None
    null: Literal["blocks", "rows"] | None = None
    drifted: bool
    seasonal: bool = False
    named: bool = False
    paged: bool = False
    effect: PredictionEffect | None = None
    shares: Shares | None = None
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
    false_pages: float = Field(0.01, gt=0, lt=0.5)
    page: tuple[str, ...] = ()
    seasonal: tuple[str, ...] = ()
    timezone: str = "UTC"
    domain_classifier: bool = False
    report: bool = Field(True, description="write Evidently's HTML where a paged column is over its level")


class BatchDrift(Contract):
    """Drift of one batch; `batch` is null for a comparison of two tables.

    `drifted` columns are over their own level, `named` ones over that of all watched columns together, `paged` are
    the named ones where the spec pages at all. `seasonal` columns are not named for their values. `null`: see
    `ColumnDrift`. `domain_auc`: how well a classifier tells current rows from those of a reference table, 0.5 for not
    at all; null where it was not asked.
    """

    batch: str | None
    rows: int
    version: str | None = None
    columns: tuple[ColumnDrift, ...]
    drifted: tuple[str, ...]
    named: tuple[str, ...] = ()
    paged: tuple[str, ...]
    began: tuple[str, ...] = ()
    decision: str | None = None
    seasonal: tuple[str, ...] = ()
    null: Literal["blocks", "rows"] | None = None
    max_column: str | None = None
    max_effect: float | None = None
    domain_auc: float | None = None
    report: str | None = None


class DriftResult(Contract):
    """One entry a batch that was not monitored yet, in order."""

    batches: tuple[BatchDrift, ...] = ()
    no_champion: tuple[str, ...] = ()


class PerformanceSpec(StepSpec):
    """Join predictions of scored batches with their labels and measure them by day blocks; by rows without a time.

    `slices` are columns of `labels`; a slice of fewer than `min_slice_rows` rows is left out. `<metric>_ratio` among
    `metrics` is a loss over what the champion's judged model lost on its holdout.
    """

    model: str
    labels: str
    target: str
    unique_key: tuple[str, ...]
    event_timestamp: str | None = None
    metrics: tuple[str, ...] = ("roc_auc", "log_loss", "calibration_gap", "calibration_slope")
    slices: tuple[str, ...] = ()
    min_slice_rows: int = Field(300, ge=1)
    timezone: str = "UTC"


class SlicePerformance(Contract):
    """The champion's metrics on the rows of one value of a slice column."""

    column: str
    value: str
    rows: int
    metrics: dict[str, MetricEstimate]


class BatchPerformance(Contract):
    """Metrics of the champion that scored the batch; `shadow` those of the former one in probation.

    `shadow_difference` is the daily mean of champion loss minus shadow loss (log loss or squared error).
    `coverage` is the share of rows with an outcome, `lag` the data time from the batch's end to the end of the newest
    batch of outcomes that it was measured with. Outcomes that come later make a further line with `revision` 1, 2...
    `outcomes` names the batches of labels that were new when this line was made: what they say of earlier batches was
    looked at by then.
    An `estimated` batch has no outcome yet: its metrics are what the predictions' own confidence says.
    """

    batch: str
    version: str | None
    rows: int
    labelled: int
    coverage: float = 0.0
    lag: timedelta | None = None
    revision: int = 0
    outcomes: tuple[str, ...] = ()
    estimated: bool = False
    metrics: dict[str, MetricEstimate] = {}
    slices: tuple[SlicePerformance, ...] = ()
    shadow_version: str | None = None
    shadow: dict[str, MetricEstimate] = {}
    shadow_difference: MetricEstimate | None = None


class PerformanceResult(Contract):
    """One entry a batch that was not measured yet, in order; `revised` are earlier ones that got more outcomes.

    `estimated` are scored batches without an outcome.
    """

    batches: tuple[BatchPerformance, ...] = ()
    revised: tuple[BatchPerformance, ...] = ()
    estimated: tuple[BatchPerformance, ...] = ()
    no_champion: tuple[str, ...] = ()

"""Contract of the step that judges a challenger against the champion."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.contracts.train import Trained, TrainingDataset

__all__ = ["EvaluateResult", "EvaluateSpec", "Gate", "GateResult", "MetricEstimate", "SliceResult"]


class Gate(Contract):
    """One condition of a promotion. Without `vs_champion` only the absolute bounds count."""

    vs_champion: Literal["better", "non_inferior"] | None = None
    alpha: float = Field(0.1, gt=0, lt=0.5, description="one-sided error of the comparison")
    margin: float = Field(0.0, ge=0, description="what `non_inferior` may lose")
    at_least: float | None = None
    at_most: float | None = None


class MetricEstimate(Contract):
    """A metric over a window; `se` is its standard error in its unit, `df` that one's degrees of freedom.

    `blocks` are what counts as independent: days, or rows where they have no time.
    """

    value: float
    se: float | None = None
    df: float | None = None
    rows: int
    blocks: int = 0


class GateResult(Contract):
    """One gate's outcome; `gain` is champion minus challenger where lower is better, else the reverse."""

    metric: str
    passed: bool
    reason: str
    gain: float | None = None
    se: float | None = None
    p_value: float | None = None
    blocks: int = 0


class SliceResult(Contract):
    """The primary metric on the rows of one value of a slice column."""

    column: str
    value: str
    rows: int
    challenger: float
    champion: float | None = None


class EvaluateSpec(StepSpec):
    """Judge `challenger` on labelled rows later than what both models were fitted on."""

    model: str
    challenger: Trained
    dataset: TrainingDataset
    primary_metric: str = "log_loss"
    gates: dict[str, Gate] = {}
    slices: tuple[str, ...] = ()
    min_slice_rows: int = Field(300, ge=1)
    alias: str = "champion"
    timezone: str = "UTC"


class EvaluateResult(Contract):
    """The verdict a person reads: `reason` is one sentence with its numbers.

    `champion_sequence` is the promotion ledger's sequence at which the comparison was made (0: none).
    """

    verdict: Literal["accepted", "refused"]
    reason: str
    champion_version: str | None = None
    champion_sequence: int = 0
    metrics: dict[str, MetricEstimate] = {}
    champion_metrics: dict[str, MetricEstimate] = {}
    gates: tuple[GateResult, ...] = ()
    slices: tuple[SliceResult, ...] = ()
    largest_gap: str = ""
    rows: int = 0
    first_row: AwareDatetime | None = None
    last_row: AwareDatetime | None = None

    @property
    def rejected(self) -> bool:
        """Whether the challenger was refused."""
        return self.verdict == "refused"

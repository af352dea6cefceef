"""Contract of the step that accepts, quarantines or refuses a batch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from airflow_mlops_provider.contracts.base import Batch, Contract, DatasetRef, StepSpec

__all__ = ["Checks", "DatasetVerdict", "ExpectationResult", "ValidateResult", "ValidateSpec"]

Severity = Literal["critical", "warning", "info"]


class Checks(Contract):
    """Checks of one dataset: a GX suite file and how many of its distinct rows may fail."""

    expectation_suite: str | None = Field(
        None, description="path of a Great Expectations suite (JSON), relative to the bundle"
    )
    max_failed: float = Field(0.0, ge=0, le=1, description="largest share of distinct rows that may go to quarantine")
    dataset: DatasetRef | None = Field(None, description="a table that exists; absent: the batch that ingest staged")


class ValidateSpec(StepSpec):
    """Scan each dataset once, quarantine failing rows, then publish the batch whole or not at all.

    `publish` names the staged datasets to publish (also those without checks); empty: verdict only.
    """

    datasets: dict[str, Checks]
    batch: Batch | None = None
    publish: tuple[str, ...] = ()
    unique_keys: dict[str, tuple[str, ...]] = {}
    on_schema_change: dict[str, Literal["evolve", "reject"]] = {}


class ExpectationResult(Contract):
    """One expectation's outcome. `unexpected` counts rows, `element_count` the rows that were looked at."""

    expectation: str
    column: str | None = None
    success: bool
    severity: Severity = "critical"
    unexpected: int = 0
    element_count: int = 0
    observed: float | int | str | None = None
    detail: str = ""


class DatasetVerdict(Contract):
    """Verdict on one dataset. `reasons` counts quarantined rows by reason: a row may have several."""

    verdict: Literal["pass", "refused"]
    rows: int
    quarantined: int
    reasons: dict[str, int] = {}
    expectations: tuple[ExpectationResult, ...] = ()
    refused_because: tuple[str, ...] = ()
    accepted: DatasetRef | None = None
    quarantine: DatasetRef | None = None


class ValidateResult(Contract):
    """The batch's verdict is `refused` as soon as one dataset's is; then nothing was published."""

    batch: str | None
    verdict: Literal["pass", "refused"]
    datasets: dict[str, DatasetVerdict]

    @property
    def rejected(self) -> bool:
        """Whether the batch was refused."""
        return self.verdict == "refused"

    def refusal(self) -> str:
        """Return one line that says which dataset was refused and why; empty if none was."""
        lines = [
            f"{name}: {'; '.join(v.refused_because)}" for name, v in self.datasets.items() if v.verdict == "refused"
        ]
        return " | ".join(lines)

"""Operators that watch drift and performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import DriftReportLink

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DriftOperator", "PerformanceOperator"]


class DriftOperator(StepOperator):
    """Compare two tables, or what was scored with the profile that the champion was trained on.

    Two tables: give `current` and `reference`. A model: give `model` (and `reference` to replace its profile).

    :param current: reference of a table: `{"name": "visits"}`, `{"kind": "parquet", "name": "a.parquet"}` (templated)
    :param reference: the same, for what is normal (templated)
    :param model: registered name (templated)
    :param alias: used where the model has no ledger (templated)
    :param dataset: lake table that was scored (templated)
    :param event_timestamp: column whose days (or `blocks`) are the unit of chance (templated)
    :param feature_service: features that are joined, point in time (templated)
    :param columns: default: all that both sides have (templated)
    :param blocks: `day`, `hour` or `week` (templated)
    :param false_alarms: share of windows of the reference itself that may cross a column's level
    :param page: columns whose drift is told; the rest is reported (templated)
    :param report: write Evidently's HTML where a paged column is over its level
    """

    step = "drift"
    spec_fields = (
        "current",
        "reference",
        "model",
        "alias",
        "dataset",
        "event_timestamp",
        "feature_service",
        "columns",
        "blocks",
        "false_alarms",
        "page",
        "report",
        "timezone",
    )
    uses_mlflow = True
    operator_extra_links = (DriftReportLink(),)

    def __init__(
        self,
        *,
        current: Mapping[str, Any] | None = None,
        reference: Mapping[str, Any] | None = None,
        model: str | None = None,
        alias: str | None = None,
        dataset: str | None = None,
        event_timestamp: str | None = None,
        feature_service: str | None = None,
        columns: Sequence[str] | None = None,
        blocks: str | None = None,
        false_alarms: float | None = None,
        page: Sequence[str] | None = None,
        report: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.current = current
        self.reference = reference
        self.model = model
        self.alias = alias
        self.dataset = dataset
        self.event_timestamp = event_timestamp
        self.feature_service = feature_service
        self.columns = columns
        self.blocks = blocks
        self.false_alarms = false_alarms
        self.page = page
        self.report = report

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return whether there is a report to see."""
        reports = [b["report"] for b in result.get("batches", ()) if b.get("report")]
        return {DriftReportLink.name: reports[-1]} if reports else {}

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:
        """Tell of paged columns that drifted, and return the result."""
        for batch in result.get("batches", ()):
            if batch["paged"]:
                self.tell("drift", f"batch {batch['batch']}: {', '.join(batch['paged'])} drifted", context)
        return result


class PerformanceOperator(StepOperator):
    """Join predictions of scored batches with their labels and measure them.

    :param model: registered name (templated)
    :param labels: lake table of outcomes (templated)
    :param target: its column (templated)
    :param unique_key: columns that predictions and labels share (templated)
    :param event_timestamp: column whose days are the unit of chance (templated)
    :param metrics: names of metrics (templated)
    """

    step = "performance"
    spec_fields = ("model", "labels", "target", "unique_key", "event_timestamp", "metrics", "timezone")

    def __init__(
        self,
        *,
        model: str,
        labels: str,
        target: str,
        unique_key: Sequence[str],
        event_timestamp: str,
        metrics: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.labels = labels
        self.target = target
        self.unique_key = unique_key
        self.event_timestamp = event_timestamp
        self.metrics = metrics

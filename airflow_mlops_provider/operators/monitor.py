"""Operators that watch drift and performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import DriftReportLink, MonitoringLink

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
    :param event_timestamp: column whose days are the unit of chance; default: each row is one (templated)
    :param feature_service: features that are joined, point in time (templated)
    :param columns: default: all that both sides have (templated)
    :param blocks: `day` (templated)
    :param false_alarms: share of windows of the reference itself that may cross a column's level
    :param false_pages: share of such windows in which any of the paged columns together may be told
    :param page: columns whose drift is told, `*` for all; the rest is reported (templated)
    :param seasonal: columns that move with every season: only a jump of their nulls is told (templated)
    :param domain_classifier: also tell by a classifier how far the rows of both tables differ jointly
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
        "false_pages",
        "page",
        "seasonal",
        "domain_classifier",
        "report",
        "timezone",
    )
    uses_mlflow = True
    operator_extra_links = (DriftReportLink(), MonitoringLink())

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
        false_pages: float | None = None,
        page: Sequence[str] | None = None,
        seasonal: Sequence[str] | None = None,
        domain_classifier: bool | None = None,
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
        self.false_pages = false_pages
        self.page = page
        self.seasonal = seasonal
        self.domain_classifier = domain_classifier
        self.report = report

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return whether there is a report to see, and a history: of two tables there is none."""
        there: dict[str, str] = {}
        for batch in result.get("batches", ()):
            there |= {DriftReportLink.name: batch["report"]} if batch.get("report") else {}
            there |= {MonitoringLink.name: batch["batch"]} if batch.get("batch") else {}
        return there

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:
        """Tell of incidents that begin, each once: which columns, how far, what it does to the predictions.

        The result is without `shares`: what rows hold is in the lake, not in an XCom.
        """
        for batch in result.get("batches", ()):
            begun = [column for column in batch["columns"] if column["column"] in batch.get("began", ())]
            if columns := sorted(begun, key=lambda column: -(column.get("effect") or {}).get("each", 0.0)):
                page = MonitoringLink.page if batch["batch"] else ""
                self.tell("drift", _incident(batch, columns), context, page=page, plot=_plot(columns))
        return {**result, "batches": [_without_shares(batch) for batch in result.get("batches", ())]}


def _without_shares(batch: Mapping[str, Any]) -> dict[str, Any]:
    columns = [{key: value for key, value in column.items() if key != "shares"} for column in batch["columns"]]
    return {**batch, "columns": columns}


def _incident(batch: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> str:
    """Return what people are told."""
    last = f"; last decision {batch['decision']}" if batch.get("decision") else ""
    where = f"batch {batch['batch']}: " if batch["batch"] else ""
    return f"{where}{'; '.join(map(_drifted, columns))}{last}"


def _drifted(column: Mapping[str, Any]) -> str:
    effect = column.get("effect")
    moves = f", predictions' mean {effect['mean']:+.4f}, each by {effect['each']:.4f}" if effect else ""
    return f"{column['column']} drifted: {column['detail']}{moves}"


def _plot(columns: Sequence[Mapping[str, Any]]) -> str:
    # Here and not above: a DAG file that is parsed draws nothing.
    from airflow_mlops_provider.contracts.monitor import Shares
    from airflow_mlops_provider.steps.pictures import shares_picture

    pictures = (shares_picture(c["column"], Shares.model_validate(c["shares"])) for c in columns if c.get("shares"))
    return next(pictures, "")


class PerformanceOperator(StepOperator):
    """Join predictions of scored batches with their labels and measure them.

    :param model: registered name (templated)
    :param labels: lake table of outcomes (templated)
    :param target: its column (templated)
    :param unique_key: columns that predictions and labels share (templated)
    :param event_timestamp: column whose days are the unit of chance; default: each row is one (templated)
    :param metrics: names of metrics, a loss also as `<loss>_ratio` over the holdout's (templated)
    :param slices: columns of `labels` by whose values the metrics are told too (templated)
    :param min_slice_rows: slices of fewer rows are left out (templated)
    """

    step = "performance"
    spec_fields = (
        *("model", "labels", "target", "unique_key", "event_timestamp"),
        *("metrics", "slices", "min_slice_rows", "timezone"),
    )

    operator_extra_links = (MonitoringLink(),)

    def __init__(
        self,
        *,
        model: str,
        labels: str,
        target: str,
        unique_key: Sequence[str],
        event_timestamp: str | None = None,
        metrics: Sequence[str] | None = None,
        slices: Sequence[str] | None = None,
        min_slice_rows: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.labels = labels
        self.target = target
        self.unique_key = unique_key
        self.event_timestamp = event_timestamp
        self.metrics = metrics
        self.slices = slices
        self.min_slice_rows = min_slice_rows

    def made(self, result: dict[str, Any]) -> dict[str, str]:  # noqa: ARG002 - whatever was measured, there is a history
        """Return that there is a history to see."""
        return {MonitoringLink.name: self.pipeline_name}

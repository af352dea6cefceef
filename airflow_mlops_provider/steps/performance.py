"""Join predictions with their outcomes and measure them, day by day; what comes late revises what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

import duckdb
import numpy as np

from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import (
    BatchPerformance,
    PerformanceResult,
    PerformanceSpec,
    SlicePerformance,
)
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.confidence import expected
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.labelled import Joined, Predictions
from airflow_mlops_provider.steps.metrics import daily_difference, defined, estimate, row_loss
from airflow_mlops_provider.steps.reference_metrics import References, is_ratio, ratio
from airflow_mlops_provider.steps.score import predictions_table

__all__ = ["performance"]


def performance(spec: PerformanceSpec, context: StepContext) -> PerformanceResult:
    """Measure every scored batch whose labels are there and that is not measured yet, in data time.

    Rows without an outcome are not measured; `labelled` tells how many were. Outcomes of a batch that come with a later
    batch of labels add a revision to its history. A scored batch without labels is estimated, once.
    """
    lake = context.lake(spec)
    labels = BatchLedger(lake, spec.labels).accepted()
    scored = BatchLedger(lake, predictions_table(spec.model)).accepted()
    if not scored:
        return PerformanceResult(no_champion=tuple(row.batch.id for row in labels))
    newest = max(row.version or 0 for row in scored)
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        ledger = _Ledger(spec, context, Predictions(con, spec, lake, newest, labels))
        # First: a line of revision 0 says up to which outcomes the older ones were looked at.
        revised = ledger.revised(scored)
        return PerformanceResult(
            batches=ledger.measured(scored, {row.batch.id for row in labels}),
            revised=revised,
            estimated=ledger.estimated(scored, {row.batch.id for row in labels}),
        )


class _Ledger:
    """What is measured now, added to what was."""

    def __init__(self, spec: PerformanceSpec, context: StepContext, predictions: Predictions) -> None:
        self.spec, self.context, self.predictions = spec, context, predictions
        self.monitoring = Monitoring(context.lake(spec), spec.pipeline)
        self.references = References(self.monitoring)
        lines = [BatchPerformance.model_validate(line["record"]) for line in self.monitoring.history("performance")]
        self.known = {line.batch: line for line in lines}
        # Not of revisions: a process may have died before it came to all that the same outcomes touch.
        looked_at = {batch for line in lines if not line.revision for batch in (line.batch, *line.outcomes)}
        self.new = sorted({row.batch.id for row in predictions.labels} - looked_at)

    def measured(self, scored: list[BatchRow], labelled: set[str]) -> tuple[BatchPerformance, ...]:
        due = [row for row in scored if row.batch.id not in self.known and row.batch.id in labelled]
        return tuple(self._added(row, self._measure(row)) for row in due)

    def revised(self, scored: list[BatchRow]) -> tuple[BatchPerformance, ...]:
        touched = self.predictions.touched(self.new) if self.known else set()
        found = []
        for row in scored:
            former = self.known.get(row.batch.id)
            if former is None or row.batch.id not in touched:
                continue
            now = self._measure(row, revision=former.revision + 1)
            if (now.labelled, now.metrics) != (former.labelled, former.metrics):
                found.append(self._added(row, now))
        return tuple(found)

    def estimated(self, scored: list[BatchRow], labelled: set[str]) -> tuple[BatchPerformance, ...]:
        known = self.known.keys() | self.monitoring.lines("estimate").keys() | labelled
        found = (self._estimate(row) for row in scored if row.batch.id not in known)
        return tuple(self._added(row, line) for row, line in found if line.metrics)

    def _added(self, row: BatchRow, line: BatchPerformance) -> BatchPerformance:
        self.monitoring.add(
            "estimate" if line.estimated else "performance",
            row.batch.id,
            row.batch.end,
            line,
            model=self.spec.model,
            version=line.version,
            run_key=self.context.run_key,
            revision=line.revision,
        )
        self.context.say(f"{row.batch.id}: {_line(line)}")
        return line

    def _estimate(self, row: BatchRow) -> tuple[BatchRow, BatchPerformance]:
        found = expected(self.spec.metrics, *self.predictions.alone(row.batch.id))
        version = row.detail["version"]
        line = BatchPerformance(
            batch=row.batch.id, version=version, rows=row.rows, labelled=0, estimated=True, metrics=found
        )
        return row, line

    def _measure(self, row: BatchRow, revision: int = 0) -> BatchPerformance:
        joined = self.predictions.joined(row.batch.id)
        line = BatchPerformance(
            batch=row.batch.id,
            version=row.detail["version"],
            rows=row.rows,
            labelled=len(joined.y),
            coverage=len(joined.y) / row.rows if row.rows else 0.0,
            revision=revision,
            outcomes=() if revision else tuple(self.new),
        )
        if "champion" not in joined.scores or not len(joined.y):
            return line
        champion, shadow = joined.scores["champion"], joined.scores.get("shadow")
        former = row.detail.get("shadow")
        line = line.model_copy(
            update={
                "metrics": self._metrics(joined.y, champion, joined.days, self.references.of(line.version)),
                "slices": self._slices(joined),
                "lag": None if joined.until is None else max(joined.until - row.batch.end, timedelta(0)),
                "shadow_version": former,
            }
        )
        if shadow is None:
            return line
        return line.model_copy(
            update={
                "shadow": self._metrics(joined.y, shadow, joined.days, self.references.of(former)),
                "shadow_difference": _difference(joined.y, champion, shadow, joined.days),
            }
        )

    def _slices(self, joined: Joined) -> tuple[SlicePerformance, ...]:
        found = []
        for column, values in joined.slices.items():
            names, level = np.unique(values.astype(str), return_inverse=True)
            sizes = np.bincount(level, minlength=names.size)
            for number in np.flatnonzero(sizes >= self.spec.min_slice_rows):
                rows = level == number
                metrics = self._of_slice(joined.y[rows], joined.scores["champion"][rows], joined.days[rows])
                size = int(sizes[number])
                found.append(SlicePerformance(column=column, value=str(names[number]), rows=size, metrics=metrics))
        return tuple(found)

    def _of_slice(self, y: np.ndarray, p: np.ndarray, days: np.ndarray) -> dict[str, MetricEstimate]:
        found: dict[str, MetricEstimate] = {}
        for name in self.spec.metrics:
            # What a scorer cannot tell of a slice, as of outcomes that are all alike, must not stop the batch.
            with contextlib.suppress(DataError):
                found |= {} if is_ratio(name) else self._metrics(y, p, days, {}, (name,))
        return found

    def _metrics(
        self,
        y: np.ndarray,
        p: np.ndarray,
        days: np.ndarray,
        reference: dict[str, MetricEstimate],
        names: Sequence[str] | None = None,
    ) -> dict[str, MetricEstimate]:
        """Measure what can be measured: outcomes that are all alike have no ROC AUC, a model never judged no ratio."""
        names = names or self.spec.metrics
        found = {m: estimate(m, y, p, days) for m in names if not is_ratio(m) and defined(m, y, p)}
        for name in filter(is_ratio, names):
            loss = name.removesuffix("_ratio")
            # Nothing is a multiple of no loss at all.
            if loss in reference and reference[loss].value > 0:
                found[name] = ratio(found.get(loss) or estimate(loss, y, p, days), reference[loss])
        # JSON has no NaN, which some scorers give: a line that holds one could not be read again.
        return {name: one for name, one in found.items() if np.isfinite(one.value)}


def _difference(y: np.ndarray, champion: np.ndarray, shadow: np.ndarray, days: np.ndarray) -> MetricEstimate:
    task: Literal["classification", "regression"] = "classification" if np.isin(y, (0.0, 1.0)).all() else "regression"
    return daily_difference(row_loss(task, y, champion), row_loss(task, y, shadow), days)


def _line(line: BatchPerformance) -> str:
    figures = ", ".join(f"{name} {m.value:.4f}" for name, m in line.metrics.items())
    if line.estimated:
        return f"version {line.version}, no outcome yet, by its own confidence: {figures}"
    again = f", revision {line.revision}" if line.revision else ""
    return f"version {line.version} on {line.labelled:,} of {line.rows:,} rows{again}: {figures or 'no outcome yet'}"

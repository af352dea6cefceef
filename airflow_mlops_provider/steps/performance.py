"""Join predictions with their outcomes and measure them, day by day."""

from __future__ import annotations

from typing import Literal

import duckdb
import numpy as np

from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.monitor import BatchPerformance, PerformanceResult, PerformanceSpec
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.metrics import daily_difference, estimate, row_loss
from airflow_mlops_provider.steps.score import predictions_table
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["performance"]


def performance(spec: PerformanceSpec, context: StepContext) -> PerformanceResult:
    """Measure every scored batch whose labels are there and that is not measured yet, in data time.

    Rows without an outcome are not measured; `labelled` tells how many were.
    """
    lake = context.lake(spec)
    monitoring = Monitoring(lake, spec.pipeline)
    known = monitoring.lines("performance")
    labels = {row.batch.id: row for row in BatchLedger(lake, spec.labels).accepted()}
    scored = BatchLedger(lake, predictions_table(spec.model)).accepted()
    due = [row for row in scored if row.batch.id not in known and row.batch.id in labels]
    results = []
    for row in due:
        result = _measure(spec, lake, row)
        monitoring.add(
            "performance",
            row.batch.id,
            row.batch.end,
            result,
            model=spec.model,
            version=result.version,
            run_key=context.run_key,
        )
        context.say(f"{row.batch.id}: {_line(result)}")
        results.append(result)
    waiting = () if scored else tuple(labels)
    return PerformanceResult(batches=tuple(results), no_champion=waiting)


def _measure(spec: PerformanceSpec, lake: Lake, row: BatchRow) -> BatchPerformance:
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        con.execute("set TimeZone = 'UTC'")
        lake.view(con, "predictions", predictions_table(spec.model), row.version)
        lake.view(con, "labels", spec.labels)
        y, days, scores = _joined(con, spec, row)
    champion, shadow = scores.get("champion"), scores.get("shadow")
    if champion is None or not len(y):
        return BatchPerformance(batch=row.batch.id, version=row.detail["version"], rows=row.rows, labelled=0)
    return BatchPerformance(
        batch=row.batch.id,
        version=row.detail["version"],
        rows=row.rows,
        labelled=len(y),
        metrics=_metrics(spec, y, champion, days),
        shadow_version=row.detail.get("shadow"),
        shadow={} if shadow is None else _metrics(spec, y, shadow, days),
        shadow_difference=None if shadow is None else _difference(y, champion, shadow, days),
    )


def _metrics(spec: PerformanceSpec, y: np.ndarray, p: np.ndarray, days: np.ndarray) -> dict[str, MetricEstimate]:
    """Measure what can be measured: outcomes that are all alike have no ROC AUC."""
    names = [name for name in spec.metrics if name != "roc_auc" or np.unique(y).size > 1]
    return {name: estimate(name, y, p, days) for name in names}


def _joined(
    con: duckdb.DuckDBPyConnection, spec: PerformanceSpec, row: BatchRow
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return outcomes, local days and each role's predictions, all in the key's order."""
    keys = ", ".join(identifier(k) for k in spec.unique_key)
    target, event = identifier(spec.target), identifier(spec.event_timestamp)
    con.execute("create or replace temp table batch as select ? as id, ? as zone", [row.batch.id, spec.timezone])
    query = f"""
        select {keys}, role, any_value(p.prediction) as prediction, any_value(l.{target})::double as y,
               datediff('day', date '1970-01-01',
                        timezone((select zone from batch), any_value(p.{event})::timestamptz)::date) as day
        from predictions p join labels l using ({keys})
        where p.{identifier(BATCH_COLUMN)} = (select id from batch) and l.{target} is not null
        group by {keys}, role order by {keys}"""
    table = con.sql(query).to_arrow_table()
    found = {name: table.column(name).to_numpy() for name in ("role", "prediction", "y", "day")}
    scores = {str(r): found["prediction"][found["role"] == r] for r in set(found["role"])}
    champion = found["role"] == "champion"
    return found["y"][champion], found["day"][champion].astype(np.int64), scores


def _difference(y: np.ndarray, champion: np.ndarray, shadow: np.ndarray, days: np.ndarray) -> MetricEstimate:
    task: Literal["classification", "regression"] = "classification" if np.isin(y, (0.0, 1.0)).all() else "regression"
    return daily_difference(row_loss(task, y, champion), row_loss(task, y, shadow), days)


def _line(result: BatchPerformance) -> str:
    figures = ", ".join(f"{name} {m.value:.4f}" for name, m in result.metrics.items())
    return f"version {result.version} on {result.labelled:,} of {result.rows:,} rows: {figures or 'no outcome yet'}"

"""Evidently's HTML for a person to look at: made only where a paged column is over its level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from airflow_mlops_provider.contracts.monitor import BatchDrift, DriftSpec
from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.training_data import frame, join_features

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["write_report"]

# Evidently draws every column from raw rows; more of them make the page larger, not clearer.
_ROWS = 5000


def write_report(
    con: duckdb.DuckDBPyConnection, view: str, spec: DriftSpec, context: StepContext, result: BatchDrift
) -> str:
    """Write the report of a batch to the lake and return its path below the lake's root."""
    try:
        from evidently import Report
        from evidently.presets import DataDriftPreset
    except ImportError:
        raise MissingExtraError("evidently", "evidently") from None
    lake = context.lake(spec)
    columns = [c.column for c in result.columns if c.column in con.table(view).columns]
    current = _sample(con, view, columns)
    reference = _reference(con, spec, context, str(result.version))
    shared = [name for name in columns if name in reference.columns]
    snapshot = Report([DataDriftPreset()]).run(current[shared], reference[shared])
    path = f"_reports/{spec.pipeline}/{result.batch}.html"
    with lake.replacing(f"{lake.root}/{path}") as sink:
        sink.write(snapshot.get_html_str(as_iframe=False).encode())
    context.say(f"{result.batch}: {', '.join(result.paged)} over the alarm level: report {path}")
    return path


def _reference(con: duckdb.DuckDBPyConnection, spec: DriftSpec, context: StepContext, version: str) -> pd.DataFrame:
    """Return a sample of the rows that the version was fitted on, with their features."""
    lake = context.lake(spec)
    history = PromotionLedger(lake, str(spec.model), spec.alias).history()
    fitted = next((p.fitted_until for p in history if p.version == version), None)
    rows = BatchLedger(lake, str(spec.dataset)).accepted()
    used = [row.batch.id for row in rows if fitted is None or row.batch.start <= fitted]
    lake.view(con, "reference_dataset", str(spec.dataset))
    con.execute("create or replace temp table reference_batches as select unnest($1) as id", [used])
    con.execute(
        f"create or replace temp table reference_entities as select * from "
        f"(select * from reference_dataset where {identifier(BATCH_COLUMN)} in (select id from reference_batches)) "
        f"using sample reservoir({_ROWS} rows) repeatable (0)"
    )
    joined, _ = join_features(
        con,
        "reference_entities",
        lake,
        feature_service=spec.feature_service,
        event_timestamp=spec.event_timestamp,
        versions={},
    )
    return _sample(con, joined, con.table(joined).columns)


def _sample(con: duckdb.DuckDBPyConnection, view: str, columns: list[str]) -> pd.DataFrame:
    listed = ", ".join(map(identifier, columns))
    query = f"select {listed} from {identifier(view)} using sample reservoir({_ROWS} rows) repeatable (0)"
    return frame(con.sql(query).to_arrow_table())

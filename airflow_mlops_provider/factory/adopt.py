"""Take a registered model under watch from the command line: the step `adopt` in this process, without Airflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.contracts.adopt import AdoptResult, AdoptSpec
from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.connections import connections_for
from airflow_mlops_provider.steps.context import StepContext

__all__ = ["adopt_model", "dataset_of_text"]


def adopt_model(
    model: str,
    reference: str,
    *,
    version: str | None = None,
    alias: str = "champion",
    event_timestamp: str | None = None,
    lake: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> AdoptResult:
    """Profile `reference` and make a version the champion of the ledger in `lake` (default: `.mlops/lake` here).

    Connections come from the environment, as for a local run. Raises ConfigError or DataError, with what is missing.
    """
    from airflow_mlops_provider.steps.adopt import adopt

    root = lake or ".mlops/lake"
    root = root if "://" in root else str(Path(root).resolve())
    dataset = dataset_of_text(reference)
    ids = {dataset.conn_id} if dataset.conn_id else set()
    connections = connections_for(ids, os.environ if environ is None else environ, root)
    spec: dict[str, Any] = {"version": version, "alias": alias, "event_timestamp": event_timestamp}
    return adopt(
        AdoptSpec(pipeline=model, lake=root, bundle=str(Path.cwd()), model=model, reference=dataset, **spec),
        StepContext(f"adopt/{model}/{datetime.now(UTC).isoformat()}", connections),
    )


def dataset_of_text(text: str) -> DatasetRef:
    """Return what `TABLE`, `parquet:PATH` or `sql:CONN_ID:TABLE_OR_QUERY` names. Raises ConfigError otherwise."""
    kind, colon, rest = text.partition(":")
    if not colon:
        return DatasetRef(name=text)
    if kind == "parquet" and rest:
        return DatasetRef(kind="parquet", name=rest)
    conn_id, _, name = rest.partition(":")
    if kind == "sql" and conn_id and name:
        return DatasetRef(kind="sql", name=name, conn_id=conn_id)
    raise ConfigError(f"{text!r} names no dataset: write TABLE, parquet:PATH or sql:CONN_ID:TABLE_OR_QUERY")

"""`airflow-mlops quarantine`: the rows that validations put aside, from the command line. No Airflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.factory.connections import connection_of

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.lake import Lake

__all__ = ["batches", "batches_text", "rows", "rows_text"]

Environ = Mapping[str, str]


def batches(lake: str | None = None, environ: Environ | None = None) -> list[dict[str, Any]]:
    """Return `steps.quarantine.quarantined_batches` of a lake (default: `.mlops/lake` here)."""
    found = _lake(lake, environ)
    from airflow_mlops_provider.steps.quarantine import quarantined_batches

    return quarantined_batches(found)


def rows(dataset: str, batch: str, *, limit: int, lake: str | None, environ: Environ | None = None) -> dict[str, Any]:
    """Return a batch's rows as plain JSON: `dataset`, `batch`, `total`, `rows`. Raises DataError where it has none."""
    found = _lake(lake, environ)
    from airflow_mlops_provider.steps.quarantine import quarantined_rows

    total, shown = quarantined_rows(found, dataset, batch, limit)
    return {"dataset": dataset, "batch": batch, "total": total, "rows": shown}


def batches_text(found: list[dict[str, Any]]) -> str:
    """Return a line for each dataset and batch, and below it one for each reason."""
    if not found:
        return "no row is in quarantine"
    return "\n".join(line for one in found for line in _batch_lines(one))


def _batch_lines(one: dict[str, Any]) -> list[str]:
    reasons = [f"  {count:>9,}  {reason}" for reason, count in one["reasons"].items()]
    return [f"{one['dataset']} {one['batch']}: {one['rows']:,} row{'' if one['rows'] == 1 else 's'}", *reasons]


def rows_text(found: dict[str, Any]) -> str:
    """Return each row's key and reasons, and below them its values."""
    head = f"{found['dataset']} {found['batch']}: {len(found['rows']):,} of {found['total']:,} rows"
    lines = [head]
    for row in found["rows"]:
        lines.append(f"{row['key']}: {'; '.join(row['reasons'])}")
        lines.append("  " + ", ".join(f"{name}={value}" for name, value in row["row"].items()))
    return "\n".join(lines)


def _lake(root: str | None, environ: Environ | None) -> Lake:
    try:
        from airflow_mlops_provider.steps.lake import Lake
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "lake") from exc
    root = root or ".mlops/lake"
    store = connection_of("lake_default", os.environ if environ is None else environ)
    return Lake(root if "://" in root else str(Path(root).resolve()), store)

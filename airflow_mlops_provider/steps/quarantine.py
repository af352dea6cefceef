"""What validations put aside: read from the lake's quarantine tables, for people."""

from __future__ import annotations

from typing import Any

import duckdb

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.expectations.audit import QUARANTINE_COLUMNS
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.validate import quarantine_table

__all__ = ["quarantined_batches", "quarantined_rows"]

_MEMORY = "200MB"
_BATCH = identifier(BATCH_COLUMN)
# A batch that was judged several times, by other suites, has its rows once for each.
_NEWEST = f"select * from quarantine qualify _first_seen = max(_first_seen) over (partition by {_BATCH})"


def quarantined_batches(lake: Lake) -> list[dict[str, Any]]:
    """Return, by dataset and batch, how many rows are in quarantine and why: `dataset`, `batch`, `rows`, `reasons`.

    Of a batch that was judged several times the newest judgement that put rows aside; a row may have several reasons.
    """
    found: list[dict[str, Any]] = []
    for dataset in _datasets(lake):
        with duckdb.connect(config={"memory_limit": _MEMORY}) as con:
            if not lake.view(con, "quarantine", quarantine_table(dataset)):
                continue
            rows = con.execute(f"select {_BATCH}, count(*) from ({_NEWEST}) group by 1 order by 1").fetchall()
            why = con.execute(
                f"select {_BATCH}, reason, count(*) as n from ({_NEWEST}), unnest(_reasons) as _(reason) "
                "group by 1, 2 order by 1, n desc, reason"
            ).fetchall()
            for batch, number in rows:
                reasons = {reason: count for of, reason, count in why if of == batch}
                found.append({"dataset": dataset, "batch": batch, "rows": number, "reasons": reasons})
    return found


def quarantined_rows(lake: Lake, dataset: str, batch: str, limit: int) -> tuple[int, list[dict[str, Any]]]:
    """Return how many rows of a batch are in quarantine, and the first of them by key: `key`, `reasons`, `row`.

    `row` is the row as it came, values as text. Raises DataError where the batch has none.
    """
    if limit < 0:
        raise DataError(f"limit {limit}: how many rows to print is wanted")
    with duckdb.connect(config={"memory_limit": _MEMORY}) as con:
        if not lake.view(con, "quarantine", quarantine_table(dataset)):
            raise DataError(f"no quarantine of {dataset!r}{_known(_datasets(lake))}")
        of_batch = f"from ({_NEWEST}) where {_BATCH} = $1"
        (total,) = con.execute(f"select count(*) {of_batch}", [batch]).fetchone() or (0,)
        if not total:
            batches = con.execute(f"select distinct {_BATCH}::varchar from quarantine order by 1").fetchall()
            raise DataError(f"no row of batch {batch!r} of {dataset} is in quarantine{_known([b for (b,) in batches])}")
        apart = ", ".join(map(identifier, (*QUARANTINE_COLUMNS, BATCH_COLUMN)))
        columns = f"_row_key, _reasons, columns(* exclude ({apart}))::varchar"
        shown = con.execute(f"select {columns} {of_batch} order by _row_key limit {limit:d}", [batch])
        names = [column[0] for column in shown.description][2:]
        rows = shown.fetchall()
    lines = [{"key": k, "reasons": list(why), "row": dict(zip(names, v, strict=True))} for k, why, *v in rows]
    return total, lines


def _datasets(lake: Lake) -> list[str]:
    filesystem, folder = lake.filesystem(f"{lake.root}/quarantine")
    if not filesystem.exists(folder):
        return []
    return sorted(path.rstrip("/").rpartition("/")[2] for path in filesystem.ls(folder, detail=False))


def _known(names: list[str]) -> str:
    return f"; there is {', '.join(names)}" if names else ""

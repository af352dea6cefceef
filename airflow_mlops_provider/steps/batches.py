"""The batch ledger: which batches of a dataset were accepted or refused, and at which version.

It is the state that every consumer computes its work from; events only wake. One small Delta table a
dataset, so pipelines that share a dataset share its ledger.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch, Json
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["BatchLedger", "BatchRow"]

_SCHEMA = pa.schema(
    [
        ("batch", pa.string()),
        ("start", pa.timestamp("us", tz="UTC")),
        ("end", pa.timestamp("us", tz="UTC")),
        ("timezone", pa.string()),
        ("status", pa.string()),
        ("version", pa.int64()),
        ("rows", pa.int64()),
        ("detail", pa.string()),
        ("run_key", pa.string()),
        ("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One line of the ledger; `version` is a version of the dataset that holds the batch's rows."""

    batch: Batch
    status: Literal["accepted", "refused"]
    version: int | None
    rows: int
    detail: Json
    run_key: str
    recorded_at: datetime


class BatchLedger:
    """Batches of one dataset. A batch that was refused may be accepted later; accepted stays."""

    def __init__(self, lake: Lake, dataset: str) -> None:
        self.lake = lake
        self.table = f"_ledgers/batches/{dataset}"

    def accept(self, batch: Batch, *, version: int, rows: int, run_key: str, detail: Json | None = None) -> bool:
        """Record that `batch` is in the dataset since `version`, once; False where it was recorded already."""
        return self._record(f"{batch.id}/accepted", batch, "accepted", version, rows, run_key, detail or {})

    def refuse(self, batch: Batch, *, rows: int, run_key: str, detail: Json | None = None) -> bool:
        """Record that `batch` was refused in this run, once a run."""
        return self._record(f"{batch.id}/refused/{run_key}", batch, "refused", None, rows, run_key, detail or {})

    def rows(self) -> list[BatchRow]:
        """Return the newest line of each batch, in data time."""
        newest: dict[str, BatchRow] = {}
        lines = (_row(line) for line in self.lake.read(self.table).to_pylist())
        for row in sorted(lines, key=lambda r: (r.status == "accepted", r.recorded_at)):
            newest[row.batch.id] = row
        return sorted(newest.values(), key=lambda r: (r.batch.start, r.batch.id))

    def accepted(self) -> list[BatchRow]:
        """Return the accepted batches in data time."""
        return [row for row in self.rows() if row.status == "accepted"]

    def pending(self, done: BatchLedger) -> list[BatchRow]:
        """Return the accepted batches that `done` has no line of, in data time."""
        known = {row.batch.id for row in done.rows()}
        return [row for row in self.accepted() if row.batch.id not in known]

    def _record(
        self, key: str, batch: Batch, status: str, version: int | None, rows: int, run_key: str, detail: Json
    ) -> bool:
        line = {
            "batch": batch.id,
            "start": batch.start,
            "end": batch.end,
            "timezone": batch.timezone,
            "status": status,
            "version": version,
            "rows": rows,
            "detail": json.dumps(detail, sort_keys=True),
            "run_key": run_key,
            "recorded_at": datetime.now(UTC),
        }
        return self.lake.write_once(self.table, pa.Table.from_pylist([line], schema=_SCHEMA), app=key)[1]


def _row(line: Json) -> BatchRow:
    zone = ZoneInfo(line["timezone"])
    batch = Batch(
        id=line["batch"],
        start=line["start"].astimezone(zone),
        end=line["end"].astimezone(zone),
        timezone=line["timezone"],
    )
    return BatchRow(
        batch=batch,
        status=line["status"],
        version=line["version"],
        rows=line["rows"],
        detail=json.loads(line["detail"]),
        run_key=line["run_key"],
        recorded_at=line["recorded_at"],
    )

"""The monitoring table and the decision ledger of a pipeline: what was measured, what was decided."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa

from airflow_mlops_provider.contracts.base import Contract, Json
from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["DecisionLedger", "Kind", "Monitoring"]

Kind = Literal["drift", "estimate", "performance", "rollback", "training"]

_MONITORING = pa.schema(
    [
        ("batch", pa.string()),
        ("end", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("model", pa.string()),
        ("version", pa.string()),
        ("record", pa.string()),
        ("run_key", pa.string()),
        ("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)
_DECISIONS = pa.schema(
    [
        ("id", pa.string()),
        ("batch", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("champion", pa.string()),
        ("running", pa.string()),
        ("alert", pa.string()),
        ("recorded_at", pa.timestamp("us", tz="UTC")),
        ("run_key", pa.string()),
    ]
)


class Monitoring:
    """One line a batch and kind, and one more a revision of it; `record` is the result's JSON."""

    def __init__(self, lake: Lake, pipeline: str) -> None:
        self.lake = lake
        self.table = f"_ledgers/monitoring/{pipeline}"

    def add(
        self,
        kind: Kind,
        batch: str,
        end: datetime,
        record: Contract,
        *,
        model: str,
        version: str | None,
        run_key: str,
        revision: int = 0,
    ) -> bool:
        """Add a batch's line of `kind`, once a model and revision (trainings and rollbacks: once a run key)."""
        line = {
            "batch": batch,
            "end": end,
            "kind": kind,
            "model": model,
            "version": version,
            "record": record.model_dump_json(),
            "run_key": run_key,
            "recorded_at": datetime.now(UTC),
        }
        once = run_key if kind in ("training", "rollback") else f"{model}/{batch}"
        if revision:
            once = f"{once}/{revision}"
        return self.lake.write_once(self.table, pa.Table.from_pylist([line], schema=_MONITORING), app=f"{kind}/{once}")[
            1
        ]

    def history(self, kind: Kind) -> list[Json]:
        """Return every line of a kind in data time, `record` decoded and `end` in UTC; revisions in their order."""
        found = [line for line in self.lake.read(self.table).to_pylist() if line["kind"] == kind]
        found.sort(key=lambda line: (line["end"], line["recorded_at"]))
        return [{**line, "record": json.loads(line["record"]), "end": line["end"].astimezone(UTC)} for line in found]

    def lines(self, kind: Kind) -> dict[str, Json]:
        """Return the newest line of a kind by batch, in data time."""
        return {line["batch"]: line for line in self.history(kind)}


class DecisionLedger:
    """The governor's decisions, one a batch."""

    def __init__(self, lake: Lake, pipeline: str) -> None:
        self.lake = lake
        self.table = f"_ledgers/decisions/{pipeline}"

    def add(self, decision: Decision) -> bool:
        """Add a decision, once a batch."""
        table = pa.Table.from_pylist([decision.model_dump()], schema=_DECISIONS)
        # A ledger of an earlier release lacks columns.
        return self.lake.write_once(self.table, table, app=decision.batch, on_schema_change="evolve")[1]

    def decisions(self) -> list[Decision]:
        """Return every decision in data time."""
        lines = self.lake.read(self.table).to_pylist()
        return sorted((Decision.model_validate({**line, **_in_utc(line)}) for line in lines), key=lambda d: d.at)


def _in_utc(line: Json) -> Json:
    return {key: line[key].astimezone(UTC) for key in ("at", "recorded_at") if line.get(key)}

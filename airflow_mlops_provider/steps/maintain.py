"""Upkeep of the lake: compact small files, remove those that no kept version needs."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime

from airflow_mlops_provider.contracts.maintain import MaintainResult, MaintainSpec
from airflow_mlops_provider.exceptions import TransientError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["maintain"]

# Files of a writer in flight are not listed by any version yet: a full vacuum must leave young ones alone.
_YOUNGEST_HOURS = 24
_TRIES = 20


def maintain(spec: MaintainSpec, context: StepContext) -> MaintainResult:
    """Compact and vacuum every table of `spec.tables`, at most once every `spec.every`.

    Readable stay the newest version, each version that a batch ledger recorded within `spec.keep`, and what was
    replaced within it. Raises TransientError if twenty tries met another writer; what was done stays done.
    """
    lake = context.lake(spec)
    mark = f"{lake.root}/_ledgers/maintained/{spec.pipeline}.json"
    last = lake.get(mark)
    now = datetime.now(UTC)
    if last is not None and now - datetime.fromisoformat(json.loads(last)["at"]) < spec.every:
        return MaintainResult()
    hours = max(int(spec.keep.total_seconds() // 3600), _YOUNGEST_HOURS)
    done, removed = [], 0
    for table in spec.tables:
        rows = BatchLedger(lake, table).rows()
        kept = {row.version for row in rows if row.version is not None and now - row.recorded_at < spec.keep}
        gone = _tidy(lake, table, hours, sorted(kept))
        if gone is not None:
            done.append(table)
            removed += gone
    lake.put(mark, json.dumps({"at": now.isoformat()}).encode())
    context.say(f"{len(done)} tables compacted, {removed} files removed")
    return MaintainResult(tables=tuple(done), files_removed=removed)


def _tidy(lake: Lake, table: str, hours: int, kept: list[int]) -> int | None:
    """Return how many files went, None where no table is."""
    from deltalake.exceptions import CommitFailedError

    for _ in range(_TRIES):
        handle = lake.open(table)
        if handle is None:
            return None
        try:
            handle.optimize.compact()
            gone = handle.vacuum(
                retention_hours=hours, dry_run=False, full=True, enforce_retention_duration=False, keep_versions=kept
            )
        except CommitFailedError:
            time.sleep(random.uniform(0.02, 0.2))
            continue
        return len(gone)
    raise TransientError(f"{table}: {_TRIES} tries to compact it met another writer")

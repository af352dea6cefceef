"""Upkeep of the lake: compact small files, remove those that no kept version needs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from airflow_mlops_provider.contracts.maintain import MaintainResult, MaintainSpec
from airflow_mlops_provider.steps.context import StepContext

__all__ = ["maintain"]

# Files of a writer in flight are not listed by any version yet: a full vacuum must leave young ones alone.
_YOUNGEST_HOURS = 24


def maintain(spec: MaintainSpec, context: StepContext) -> MaintainResult:
    """Compact and vacuum every table of `spec.tables`, at most once every `spec.every`."""
    lake = context.lake(spec)
    mark = f"{lake.root}/_ledgers/maintained/{spec.pipeline}.json"
    last = lake.get(mark)
    now = datetime.now(UTC)
    if last is not None and now - datetime.fromisoformat(json.loads(last)["at"]) < spec.every:
        return MaintainResult()
    hours = max(int(spec.keep.total_seconds() // 3600), _YOUNGEST_HOURS)
    done, removed = [], 0
    for table in spec.tables:
        handle = lake.open(table)
        if handle is None:
            continue
        handle.optimize.compact()
        removed += len(handle.vacuum(retention_hours=hours, dry_run=False, full=True, enforce_retention_duration=False))
        done.append(table)
    lake.put(mark, json.dumps({"at": now.isoformat()}).encode())
    context.say(f"{len(done)} tables compacted, {removed} files removed")
    return MaintainResult(tables=tuple(done), files_removed=removed)

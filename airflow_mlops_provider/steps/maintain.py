"""Upkeep of the lake: compact small files, remove those that no kept version needs."""

from __future__ import annotations

import contextlib
import json
import random
import time
from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.contracts.maintain import MaintainResult, MaintainSpec
from airflow_mlops_provider.contracts.pod import CODE_FOLDER, OUTCOME_FOLDER
from airflow_mlops_provider.exceptions import TransientError
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.checkpoint import CHECKPOINT_FOLDER
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["maintain"]

# Files of a writer in flight are not listed by any version yet: a full vacuum must leave young ones alone.
_YOUNGEST_HOURS = 24
_TRIES = 20
# A bundle in use is written again when it is a day old; from then on a pod may wait two days for its node.
_PODS_NEED = timedelta(days=3)


def maintain(spec: MaintainSpec, context: StepContext) -> MaintainResult:
    """Compact and vacuum every table of `spec.tables` and the ledgers, at most once every `spec.every`.

    Readable stay the newest version, each version that a batch ledger recorded within `spec.keep`, and what was
    replaced within it. What waited for a verdict goes `spec.keep` after it was accepted. Pods' bundles and outcomes go
    once they are that old. Raises TransientError if twenty tries met another writer; what was done stays done.
    """
    lake = context.lake(spec)
    mark = f"{lake.root}/_ledgers/maintained/{spec.pipeline}.json"
    last = lake.get(mark)
    now = datetime.now(UTC)
    if last is not None and now - datetime.fromisoformat(json.loads(last)["at"]) < spec.every:
        return MaintainResult()
    hours = max(int(spec.keep.total_seconds() // 3600), _YOUNGEST_HOURS)
    done, removed = [], 0
    for table, named in _tables(lake, spec, now).items():
        gone = _tidy(lake, table, hours, named)
        if gone is not None:
            done.append(table)
            removed += gone
    # A folder below these two is a local run's.
    removed += sum(_drop(lake, folder, max(spec.keep, _PODS_NEED), now) for folder in (CODE_FOLDER, OUTCOME_FOLDER))
    # Of trainings that were given up: one that succeeds removes its own.
    removed += _drop(lake, CHECKPOINT_FOLDER, spec.keep, now, depth=3)
    lake.put(mark, json.dumps({"at": now.isoformat()}).encode())
    context.say(f"{len(done)} tables compacted, {removed} files removed")
    return MaintainResult(tables=tuple(done), files_removed=removed)


def _tables(lake: Lake, spec: MaintainSpec, now: datetime) -> dict[str, list[int]]:
    """Return every table to work on, with the versions that must stay readable.

    A ledger grows by a file a batch, and each step reads it whole: of all tables it needs compaction the most.
    """
    found: dict[str, list[int]] = {}
    for table in spec.tables:
        ledger = BatchLedger(lake, table)
        rows = ledger.rows()
        found[table] = sorted({r.version for r in rows if r.version is not None and now - r.recorded_at < spec.keep})
        found[ledger.table] = []
        _unstage(lake, spec, table, [r for r in rows if r.status == "accepted" and now - r.recorded_at >= spec.keep])
    return found | {of(lake, spec.pipeline).table: [] for of in (Monitoring, DecisionLedger)}


def _unstage(lake: Lake, spec: MaintainSpec, table: str, rows: list[BatchRow]) -> None:
    """Remove what these batches waited in: their rows are in the table since."""
    over = {lake.filesystem(lake.staged(spec.pipeline, table, row.batch.id))[1] for row in rows}
    if over:
        filesystem, folder = lake.filesystem(f"{lake.root}/_staging/{spec.pipeline}/{table}")
        # Listed once: asking for each batch of the years would be a request each.
        for path in over.intersection(filesystem.find(folder)):
            filesystem.rm(path)


def _drop(lake: Lake, folder: str, keep: timedelta, now: datetime, depth: int = 1) -> int:
    """Remove the files in a folder that are older, `depth` levels down, and return how many."""
    filesystem, root = lake.filesystem(f"{lake.root}/{folder}")
    old = [path for path in filesystem.find(root, maxdepth=depth) if now - filesystem.modified(path) >= keep]
    for path in old:
        # Another pipeline's upkeep of the same lake may have been here.
        with contextlib.suppress(FileNotFoundError):
            filesystem.rm(path)
    return len(old)


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

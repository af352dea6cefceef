"""Writers of one table beside a compaction, all of them killed now and then: no batch is lost, none is there twice."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake.exceptions import CommitFailedError

from airflow_mlops_provider.contracts.maintain import MaintainSpec
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.maintain import maintain
from tests.chaos.kill import end, start, stop
from tests.chaos.result import Found

__all__ = ["run"]

WRITERS, BATCHES, ROWS, KILLS = 3, 15, 500, 8
_TABLE = "rows"


def run(n: int, home: Path, draw: random.Random) -> Found:
    found = Found("writers beside compaction: every batch once, whole", n)
    for trial in range(n):
        root = home / str(trial)
        root.mkdir()
        _trial(str(root), draw, found)
    return found


def _trial(root: str, draw: random.Random, found: Found) -> None:
    done = Path(root, "done")
    jobs: list[tuple[Any, ...]] = [(_write, root, writer) for writer in range(WRITERS)]
    jobs.append((_compact, root, str(done)))
    processes = [start(*job) for job in jobs]
    killed = 0
    while killed < KILLS and any(process.exitcode is None for process in processes[:WRITERS]):
        victim = draw.choice([i for i, process in enumerate(processes) if process.exitcode is None])
        if stop(processes[victim], draw.uniform(0.02, 0.2)):
            killed += 1
            processes[victim] = start(*jobs[victim])
    found.kills += killed
    codes = [end(process) for process in processes[:WRITERS]]
    done.touch()
    codes.append(end(processes[-1]))
    found.check(codes == [0] * len(jobs), f"processes ended with {codes}")
    _verify(root, found)


def _write(root: str, writer: int) -> None:
    """Write all batches of a writer; a try that follows a kill begins at the first again."""
    for batch in range(BATCHES):
        data = pa.table({"writer": [writer] * ROWS, "batch": [batch] * ROWS, "row": list(range(ROWS))})
        Lake(root).write_once(_TABLE, data, app=f"{writer}/{batch}")


def _compact(root: str, done: str) -> None:
    spec = MaintainSpec(pipeline="chaos", lake=root, tables=(_TABLE,), every=timedelta(0))
    while not Path(done).exists():
        try:
            maintain(spec, StepContext("chaos", emit=lambda _message: None))
        except CommitFailedError:
            continue  # a writer was faster: the next week's run is here at once


def _verify(root: str, found: Found) -> None:
    rows = (
        Lake(root).read(_TABLE).group_by(["writer", "batch"]).aggregate([("row", "count"), ("row", "count_distinct")])
    )
    seen = {(r["writer"], r["batch"]): (r["row_count"], r["row_count_distinct"]) for r in rows.to_pylist()}
    for writer in range(WRITERS):
        for batch in range(BATCHES):
            got = seen.get((writer, batch), (0, 0))
            found.check(got == (ROWS, ROWS), f"batch {writer}/{batch} has {got[0]} rows, {got[1]} different, of {ROWS}")

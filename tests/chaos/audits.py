"""Validation killed at its commits and at random moments, then tried again, while somebody reads all the time."""

from __future__ import annotations

import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.validate import Checks, ValidateSpec
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.validate import quarantine_table, validate
from tests.chaos.kill import Point, die_at, end, start, stop
from tests.chaos.result import Found

__all__ = ["run"]

DATASETS, ROWS, BAD = ("orders", "lines"), 400, 20
# Two quarantines, two tables, two ledgers.
COMMITS = 6
POINTS, MOMENTS = 6, 3


def run(n: int, home: Path, draw: random.Random) -> Found:
    found = Found("validate killed and tried again: no unaudited row, every row once", n)
    every = [Point(when, commit) for when in ("before", "after") for commit in range(1, COMMITS + 1)]  # type: ignore[arg-type]
    for trial in range(n):
        root = home / str(trial)
        root.mkdir()
        claim = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "amount"}}
        (root / "suite.json").write_text(json.dumps({"name": "chaos", "expectations": [claim]}))
        reader = _Reader(Lake(str(root / "lake")))
        with reader:
            took = _unharmed(root)
            for number, point in enumerate([*draw.sample(every, POINTS), *[None] * MOMENTS], start=1):
                _stage(root, number)
                process = start(_validate, str(root), number, point)
                found.kills += end(process) != 0 if point else stop(process, draw.uniform(0, took))
                code = end(start(_validate, str(root), number, None))
                found.check(code == 0, f"batch {number}, killed {point}: the second try ended with {code}")
        found.check(reader.reads > 0, "the reader read nothing")
        found.violations += reader.violations
        _verify(Lake(str(root / "lake")), number, found)
    return found


def _unharmed(root: Path) -> float:
    """Run one batch without a kill and return the seconds it took."""
    _stage(root, 0)
    began = time.monotonic()
    if end(start(_validate, str(root), 0, None)):
        raise RuntimeError("validation fails without a kill, too")
    return time.monotonic() - began


def _batch(number: int) -> Batch:
    first = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Batch(id=first.date().isoformat(), start=first, end=first + timedelta(days=1))


def _stage(root: Path, number: int) -> None:
    for name in DATASETS:
        path = Path(Lake(str(root / "lake")).staged("chaos", name, _batch(number).id))
        path.parent.mkdir(parents=True, exist_ok=True)
        amount = [None if i < BAD else float(i) for i in range(ROWS)]
        table = pa.table({"id": [number * ROWS + i for i in range(ROWS)], "amount": pa.array(amount, pa.float64())})
        pq.write_table(table.append_column("_batch", pa.array([_batch(number).id] * ROWS)), path)


def _validate(root: str, number: int, point: Point | None) -> None:
    die_at(point)
    checks = Checks(expectation_suite="suite.json", max_failed=0.5)
    spec = ValidateSpec(
        pipeline="chaos",
        lake=f"{root}/lake",
        bundle=root,
        datasets=dict.fromkeys(DATASETS, checks),
        batch=_batch(number),
        publish=DATASETS,
    )
    validate(spec, StepContext(f"validate/{number}", emit=lambda _message: None))


class _Reader:
    """A thread that reads the tables as consumers do, and remembers what it must not have seen."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.reads = lake, 0
        self.violations: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._ended.is_set():
            try:
                for name in DATASETS:
                    self._look(name)
            except Exception as exc:  # noqa: BLE001  # a reader that cannot read is what this looks for
                self.violations.append(f"a reader met {type(exc).__name__}: {exc}")
                return

    def _look(self, name: str) -> None:
        accepted = BatchLedger(self.lake, name).accepted()
        with duckdb.connect() as con:
            if not self.lake.view(con, "newest", name):
                return
            bad = con.sql("select count(*) from newest where amount is null").fetchall()[0][0]
            if bad:
                self.violations.append(f"{name}: {bad} failing rows in the table")
            for row in accepted:
                self.lake.view(con, "accepted", name, row.version)
                held = con.execute("select count(*), count(distinct id) from accepted where _batch = ?", [row.batch.id])
                if (seen := held.fetchall()[0]) != (ROWS - BAD, ROWS - BAD):
                    self.violations.append(f"{name}: batch {row.batch.id} at version {row.version} has {seen} rows")
        self.reads += 1


def _verify(lake: Lake, last: int, found: Found) -> None:
    for name in DATASETS:
        for table, count in ((name, ROWS - BAD), (quarantine_table(name), BAD)):
            ids = lake.read(table).column("id").to_pylist()
            wanted = (last + 1) * count
            found.check(
                len(ids) == len(set(ids)) == wanted, f"{table}: {len(ids)} rows, {len(set(ids))} different, of {wanted}"
            )
        accepted = [row.batch.id for row in BatchLedger(lake, name).accepted()]
        found.check(accepted == [_batch(i).id for i in range(last + 1)], f"{name}: the ledger has accepted {accepted}")

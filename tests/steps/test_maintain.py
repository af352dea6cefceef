"""Upkeep removes what nobody needs and nothing else, once in a while, beside writers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.maintain import MaintainSpec
from airflow_mlops_provider.runners.bundle import fetch, ship
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.maintain import _drop, maintain
from tests.steps.flow import batch

MONTH_S = 30 * 24 * 3600


class World:
    """A lake with table `t`, grown month by month."""

    def __init__(self, lake) -> None:
        self.lake = lake

    def write(self, *months: int, ledger: bool = False) -> None:
        for month in months:
            version, _ = self.lake.write_once("t", pa.table({"id": [month]}), app=f"t/{month}")
            if ledger:
                BatchLedger(self.lake, "t").accept(batch(month), version=version, rows=1, run_key="r")

    def maintain(self, **more):
        spec = {"pipeline": "p", "lake": self.lake.root, "tables": ("t", "nowhere"), "every": timedelta(0), **more}
        return maintain(MaintainSpec(**spec), StepContext("run", emit=lambda _: None))

    def files(self) -> int:
        return len(list(Path(self.lake.uri("t")).glob("**/*.parquet")))

    def age(self, seconds: float = 2 * MONTH_S) -> None:
        """Let everything that lies in the table, and what its log says of removals, be older."""
        from deltalake import DeltaTable

        for path in Path(self.lake.uri("t")).rglob("*"):
            os.utime(path, (time.time() - seconds,) * 2)
        log = DeltaTable(self.lake.uri("t"))
        for path in Path(self.lake.uri("t"), "_delta_log").glob("*.json"):
            path.write_text(_earlier(path.read_text(), seconds))
            os.utime(path, (time.time() - seconds,) * 2)
        assert log.version() == self.lake.version("t")


def _earlier(text: str, seconds: float) -> str:
    import json

    lines = []
    for line in text.splitlines():
        action = json.loads(line)
        if "remove" in action:
            action["remove"]["deletionTimestamp"] -= int(seconds * 1000)
        lines.append(json.dumps(action))
    return "\n".join(lines) + "\n"


@pytest.fixture
def world(lake):
    return World(lake)


def test_small_files_become_one_and_every_row_stays(world):
    world.write(1, 2, 3)
    assert world.files() == 3
    assert world.maintain().tables == ("t",)
    assert len(world.lake.open("t").file_uris()) == 1
    assert sorted(world.lake.read("t")["id"].to_pylist()) == [1, 2, 3]


def test_young_files_stay_whatever_keep_says(world):
    world.write(1, 2)
    orphan = Path(world.lake.uri("t")) / "of-a-writer-in-flight.parquet"
    orphan.write_bytes(b"not committed yet")
    assert world.maintain(keep=timedelta(0)).files_removed == 0
    assert orphan.exists()
    assert world.lake.read("t", 1).num_rows == 1


def test_old_files_of_nobody_go(world):
    world.write(1, 2)
    (Path(world.lake.uri("t")) / "of-a-writer-that-died.parquet").write_bytes(b"never committed")
    world.maintain()
    world.age()
    assert world.maintain().files_removed == 3
    assert world.files() == 1
    assert sorted(world.lake.read("t")["id"].to_pylist()) == [1, 2]


def test_versions_that_a_ledger_names_stay_readable(world):
    world.write(1, 2)
    world.write(3, ledger=True)
    world.maintain()
    world.age()
    world.maintain()
    assert world.lake.read("t", 3).num_rows == 3
    # Named long ago, it goes too.
    assert world.maintain(keep=timedelta(0)).files_removed == 3
    assert world.lake.read("t").num_rows == 3


def test_ledgers_are_compacted_and_say_the_same(world):
    world.write(1, 2, 3, ledger=True)
    said = BatchLedger(world.lake, "t").rows()
    assert world.maintain().tables == ("t", "_ledgers/batches/t")
    assert len(world.lake.open("_ledgers/batches/t").file_uris()) == 1
    assert BatchLedger(world.lake, "t").rows() == said
    # What was written once stays written once: the transactions outlive their files.
    world.write(1, 2, 3, ledger=True)
    assert (BatchLedger(world.lake, "t").rows(), world.lake.read("t").num_rows) == (said, 3)


def test_a_staged_batch_goes_once_it_was_accepted_long_enough(world):
    staged = {month: world.lake.staged("p", "t", batch(month).id) for month in (1, 2)}
    for path in staged.values():
        world.lake.put(path, b"rows")
    world.write(1, ledger=True)
    BatchLedger(world.lake, "t").refuse(batch(2), rows=1, run_key="r")
    world.maintain()
    assert {m: world.lake.get(path) for m, path in staged.items()} == {1: b"rows", 2: b"rows"}
    world.maintain(keep=timedelta(0))
    assert {m: world.lake.get(path) for m, path in staged.items()} == {1: None, 2: b"rows"}


def test_what_went_to_pods_and_came_from_them_goes_when_it_is_old(world):
    days = {"_code/old.zip": 40, "_outcomes/old.json": 40, "_code/young.zip": 2, "_outcomes/young.json": 20}
    local = "_outcomes/p/local__1/train.json"  # of a run without Airflow, which goes on from there
    days[local] = 40
    for name, age in days.items():
        path = f"{world.lake.root}/{name}"
        world.lake.put(path, b"x")
        os.utime(path, (time.time() - age * 24 * 3600,) * 2)
    there = lambda: {name for name in days if world.lake.get(f"{world.lake.root}/{name}")}  # noqa: E731
    assert world.maintain().files_removed == 2
    assert there() == {"_code/young.zip", "_outcomes/young.json", local}
    # A bundle in use is written again only after a day, and its pod may wait for a node.
    world.maintain(keep=timedelta(0))
    assert there() == {"_code/young.zip", local}


@pytest.mark.slow
def test_a_bundle_in_a_bucket_is_written_once_and_goes_too(s3, bucket, tmp_path):
    (tmp_path / "pipeline.yaml").write_text("pipeline: p\n")
    root = f"s3://{bucket[1]}/lake"
    lake = Lake(root, s3)
    code = ship(root, tmp_path, s3)
    written = lake.filesystem(f"{root}/{code['path']}")
    modified = written[0].modified(written[1])
    assert ship(root, tmp_path, s3) == code
    assert written[0].modified(written[1]) == modified
    fetch(root, code, tmp_path / "out", s3)
    assert (tmp_path / "out" / "pipeline.yaml").read_text() == "pipeline: p\n"
    for folder in ("_code", "_outcomes"):
        assert _drop(lake, folder, timedelta(days=1), datetime.now(UTC)) == 0
    assert _drop(lake, "_code", timedelta(0), datetime.now(UTC)) == 1
    assert lake.get(f"{root}/{code['path']}") is None


def test_once_a_week_is_enough(world):
    world.write(1)
    assert world.maintain(every=timedelta(days=7)).tables == ("t",)
    assert world.maintain(every=timedelta(days=7)).tables == ()
    assert world.maintain(every=timedelta(days=7), pipeline="another").tables == ("t",)
    assert world.maintain(every=timedelta(0)).tables == ("t",)


WRITER = """
import os, sys, pyarrow as pa
from airflow_mlops_provider.steps.lake import Lake
lake = Lake(sys.argv[1])
print("ready", flush=True)
for number in range(40):
    lake.write_once("t", pa.table({"id": [number]}), app=f"writer/{number}")
os._exit(0)
"""


@pytest.mark.slow
def test_a_writer_beside_it_loses_nothing(world):
    world.write(1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", WRITER, world.lake.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout.readline() == b"ready\n"
        rounds = 0
        while writer.poll() is None:
            assert world.maintain(keep=timedelta(0)).tables == ("t",)
            rounds += 1
    assert (writer.returncode, rounds > 1) == (0, True)
    assert sorted(Lake(world.lake.root).read("t")["id"].to_pylist()) == sorted([1, *range(40)])


def test_checkpoints_of_a_training_that_was_given_up_go(world):
    path = f"{world.lake.root}/_checkpoints/{'a' * 32}/judged/1.bin"
    world.lake.put(path, b"weights")
    world.maintain()
    assert world.lake.get(path) == b"weights"
    world.maintain(keep=timedelta(0))
    assert world.lake.get(path) is None

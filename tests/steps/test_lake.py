"""The one write path: exactly once, whoever writes, whenever it dies."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.lake import Lake

ROWS = pa.table({"id": [1, 2, 3], "text": ["a", "b", None]})


def count(lake, table, version=None):
    return lake.read(table, version).num_rows


def test_same_batch_twice_changes_nothing(lake):
    assert lake.write_once("t", ROWS, app="b1") == (1, True)
    assert lake.write_once("t", ROWS, app="b1") == (1, False)
    assert lake.write_once("t", ROWS, app="b2") == (2, True)
    assert count(lake, "t") == 6
    assert count(lake, "t", version=1) == 3


def test_a_higher_sequence_is_new_work(lake):
    lake.write_once("t", ROWS, app="a", sequence=1)
    assert lake.write_once("t", ROWS, app="a", sequence=2)[1]
    assert not lake.write_once("t", ROWS, app="a", sequence=1)[1]
    assert lake.sequence("t", "a") == 2
    assert lake.sequence("nowhere", "a") == 0


def test_large_data_is_opened_anew_for_each_try(lake):
    opened = []

    def reader():
        opened.append(1)
        return ROWS.to_reader()

    lake.write_once("t", reader, app="b1")
    assert opened == [1]
    assert count(lake, "t") == 3


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (ROWS.append_column("more", pa.array([1, 2, 3])), r"new: \['more'\]"),
        (ROWS.drop_columns(["text"]), r"missing: \['text'\]"),
    ],
)
def test_changed_columns_are_refused_or_evolve(lake, changed, says):
    lake.write_once("t", ROWS, app="b1")
    with pytest.raises(DataError, match=says):
        lake.write_once("t", changed, app="b2")
    lake.write_once("t", changed, app="b2", on_schema_change="evolve")
    assert count(lake, "t") == 6


@pytest.mark.parametrize("retyped", [pa.array([1.5, 2.5, 3.5]), pa.array(["1", "2", "3"])])
def test_a_changed_type_is_always_refused(lake, retyped):
    lake.write_once("t", ROWS, app="b1")
    with pytest.raises(DataError, match="id: int64 became"):
        lake.write_once("t", ROWS.set_column(0, "id", retyped), app="b2", on_schema_change="evolve")
    assert count(lake, "t") == 3


def test_types_that_delta_stores_alike_are_no_change(lake):
    first = pa.table(
        {"t": pa.array([0], pa.timestamp("ns", "America/New_York")), "s": pa.array(["a"], pa.large_string())}
    )
    lake.write_once("t", first, app="b1")
    lake.write_once("t", first.set_column(1, "s", pa.array(["b"]).dictionary_encode()), app="b2")
    assert count(lake, "t") == 2


def test_empty_table_keeps_its_columns(lake):
    lake.write_once("t", ROWS.slice(0, 0), app="b1")
    with duckdb.connect() as con:
        assert lake.view(con, "v", "t")
        assert con.table("v").columns == ["id", "text"]
        assert not lake.view(con, "v", "nowhere")


def test_deletion_vectors_are_refused(lake):
    from deltalake import DeltaTable, write_deltalake

    write_deltalake(lake.uri("foreign"), ROWS)
    DeltaTable(lake.uri("foreign")).alter.add_feature(
        __import__("deltalake").TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with duckdb.connect() as con, pytest.raises(DataError, match="deletionVectors"):
        lake.view(con, "v", "foreign")
    with pytest.raises(DataError, match="deletionVectors"):
        lake.read("foreign")


def test_a_table_is_read_whole_across_its_versions_columns(tmp_path):
    lake = Lake(str(tmp_path / "a lake" / "k=v"))
    lake.write_once("t", pa.table({"id": [1], "old": ["a"]}), app="b1")
    lake.write_once("t", pa.table({"id": [2], "new": [0.5]}), app="b2", on_schema_change="evolve")
    lines = [{"id": 1, "old": "a", "new": None}, {"id": 2, "old": None, "new": 0.5}]
    assert sorted(lake.read("t").to_pylist(), key=lambda line: line["id"]) == lines
    assert lake.read("t", version=1).to_pylist() == [{"id": 1, "old": "a"}]
    with duckdb.connect() as con:
        lake.view(con, "v", "t")
        assert con.sql("select sum(id) from v").fetchall() == [(3,)]


def test_columns_of_a_partitioned_table_are_read(lake):
    from deltalake import write_deltalake

    write_deltalake(lake.uri("foreign"), pa.table({"id": [1, 2], "part": ["a", "b"]}), partition_by=["part"])
    assert sorted((line["id"], line["part"]) for line in lake.read("foreign").to_pylist()) == [(1, "a"), (2, "b")]


def test_no_root_is_a_clear_error():
    with pytest.raises(ConfigError, match=r"\[mlops\] lake"):
        Lake("")


def test_replacing_shows_the_whole_file_or_none(lake):
    path = f"{lake.root}/folder/file"

    def die_half_way():
        with lake.replacing(path) as sink:
            sink.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        die_half_way()
    assert lake.get(path) is None
    lake.put(path, b"whole")
    assert lake.get(path) == b"whole"


def _append(root, app, barrier):
    barrier.wait()
    written = Lake(root).write_once("t", ROWS, app=app)[1]
    os._exit(0 if written else 7)


@pytest.mark.parametrize(("apps", "winners"), [(["same"] * 4, 1), (["a", "b", "c", "d"], 4)])
def test_writers_at_once(lake, apps, winners):
    lake.write_once("t", ROWS, app="first")
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(apps))
    workers = [context.Process(target=_append, args=(lake.root, app, barrier)) for app in apps]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers].count(0) == winners
    assert count(lake, "t") == 3 * (1 + winners)


WRITER = """
import sys, pyarrow as pa
from airflow_mlops_provider.steps.lake import Lake
rows = pa.table({"id": pa.array(range(400_000)), "text": ["x" * 20] * 400_000})
print("ready", flush=True)
sys.stdin.readline()
Lake(sys.argv[1]).write_once("t", rows, app="batch")
"""


@pytest.mark.slow
@pytest.mark.parametrize("wait_for", ["data file", "commit"])
def test_killed_writer_is_made_good_by_the_retry(lake, wait_for):
    lake.write_once("t", pa.table({"id": [0], "text": ["x"]}), app="first")
    folder = lake.uri("t")
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), lake.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"\n")
        child.stdin.flush()
        _wait(folder, wait_for)
        child.send_signal(signal.SIGKILL)
    rows = pa.table({"id": pa.array(range(400_000)), "text": ["x" * 20] * 400_000})
    lake.write_once("t", rows, app="batch")
    assert not lake.write_once("t", rows, app="batch")[1]
    assert count(lake, "t") == 400_001


def _wait(folder, what):
    from pathlib import Path

    pattern = "*.parquet" if what == "data file" else "_delta_log/*.json"
    before, deadline = len(list(Path(folder).glob(pattern))), time.monotonic() + 30
    while len(list(Path(folder).glob(pattern))) == before:
        assert time.monotonic() < deadline


def test_a_table_that_many_make_at_once_is_made(tmp_path):
    """Delta refuses some of those who create one table at the same moment."""
    for number in range(8):
        lake, start = Lake(str(tmp_path / str(number))), threading.Barrier(8)

        def write(app, lake=lake, start=start):
            start.wait()
            return lake.write_once("_ledgers/batches/visits", pa.table({"a": [1]}), app=app)[1]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(write, map(str, range(8))))
        assert lake.read("_ledgers/batches/visits").num_rows == 8

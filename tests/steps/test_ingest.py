"""A batch comes in whole and once, whoever tries, however often, wherever it dies."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.ingest import IngestSpec, Source
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.ingest import ingest

pytestmark = pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*:DeprecationWarning")


def month(number: int) -> Batch:
    start, end = datetime(2013, number, 1, tzinfo=UTC), datetime(2013, number + 1, 1, tzinfo=UTC)
    return Batch(id=start.date().isoformat(), start=start, end=end)


class Bundle:
    """A bundle with files `<dataset>/<batch>.parquet`, and the lake that they go into."""

    def __init__(self, lake, root: Path) -> None:
        self.lake, self.root = lake, root

    def put(self, number: int, rows: dict | pa.Table, dataset: str = "t") -> None:
        folder = self.root / dataset
        folder.mkdir(exist_ok=True)
        table = rows if isinstance(rows, pa.Table) else pa.table(rows)
        pq.write_table(table, folder / f"{month(number).id}.parquet")

    def spec(
        self, number: int = 1, *, publish: bool = True, datasets: tuple[str, ...] = ("t",), **source
    ) -> IngestSpec:
        kinds = {"files", "python_callable", "sql"} & source.keys()
        sources = {n: Source(**({} if kinds else {"files": n + "/{batch}.parquet"}), **source) for n in datasets}
        common = {"pipeline": "p", "lake": self.lake.root, "bundle": str(self.root)}
        return IngestSpec(**common, datasets=sources, batch=month(number), publish=publish)

    def ingest(self, number: int = 1, connections=None, **more):
        return ingest(self.spec(number, **more), StepContext("run", connections or {}, emit=lambda _: None))

    def rows(self, table: str = "t") -> list[dict]:
        return self.lake.read(table).to_pylist()

    def column(self, name: str, table: str = "t") -> list:
        return sorted(row[name] for row in self.rows(table))

    def batches(self, dataset: str = "t") -> list[str]:
        return [row.batch.id for row in BatchLedger(self.lake, dataset).accepted()]


@pytest.fixture
def bundle(lake, tmp_path):
    return Bundle(lake, tmp_path)


def test_a_batch_comes_in_with_its_name_and_twice_changes_nothing(bundle):
    bundle.put(1, {"id": [1, 2]})
    first = bundle.ingest()
    assert (first.datasets["t"].rows, first.datasets["t"].written) == (2, True)
    bundle.put(1, {"id": [1, 2, 3]})
    second = bundle.ingest()
    assert second.datasets["t"] == first.datasets["t"].model_copy(update={"written": False})
    assert bundle.rows() == [{"id": 1, "_batch": "2013-01-01"}, {"id": 2, "_batch": "2013-01-01"}]
    assert bundle.lake.version("t") == first.datasets["t"].dataset.version == 1


def test_staging_shows_nobody_the_batch(bundle):
    bundle.put(1, {"id": [1]})
    staged = bundle.ingest(publish=False).datasets["t"]
    assert (staged.dataset.kind, staged.dataset.version is None) == ("parquet", False)
    assert bundle.lake.version("t") is None
    assert bundle.batches() == []
    assert bundle.ingest(publish=False).datasets["t"] == staged


def test_old_months_come_in_data_time(bundle):
    for number in (3, 1, 2):
        bundle.put(number, {"id": [number]})
        bundle.ingest(number)
    assert bundle.batches() == ["2013-01-01", "2013-02-01", "2013-03-01"]
    assert bundle.column("id") == [1, 2, 3]


def test_of_rows_with_one_key_the_first_stays(bundle):
    bundle.put(1, {"id": [1, 2, 1], "at": [10, 20, 30]})
    assert bundle.ingest(unique_key=("id",)).datasets["t"].rows == 2
    assert bundle.column("at") == [10, 20]
    assert [row["at"] for row in bundle.rows("quarantine/t")] == [30]


def test_a_key_that_is_no_column_publishes_nothing(bundle):
    bundle.put(1, {"id": [1]})
    with pytest.raises(DataError, match=r"batch 2013-01-01: t: .*number"):
        bundle.ingest(unique_key=("number",))
    assert bundle.lake.version("t") is None


def test_two_datasets_come_together_or_not_at_all(bundle):
    bundle.put(1, {"id": [1]}, "one")
    with pytest.raises(DataError, match="two: no file matches"):
        bundle.ingest(datasets=("one", "two"))
    assert bundle.lake.version("one") is None
    bundle.put(1, {"id": [2]}, "two")
    done = bundle.ingest(datasets=("one", "two")).datasets
    assert {name: one.rows for name, one in done.items()} == {"one": 1, "two": 1}


EVOLVED = {"more": {"id": [2], "text": ["b"], "new": [True]}, "less": {"id": [2]}}


@pytest.mark.parametrize("change", EVOLVED)
def test_columns_that_come_or_go_evolve(bundle, change):
    bundle.put(1, {"id": [1], "text": ["a"]})
    bundle.ingest()
    bundle.put(2, EVOLVED[change])
    bundle.ingest(2, on_schema_change="evolve")
    by_id = {row["id"]: row for row in bundle.rows()}
    assert by_id[1]["text"] == "a"
    assert by_id[2].get("text") == ("b" if change == "more" else None)
    assert by_id[1].get("new") is None


@pytest.mark.parametrize(("change", "says"), [("more", r"new: \['new'\]"), ("less", r"missing: \['text'\]")])
def test_columns_that_come_or_go_are_rejected(bundle, change, says):
    bundle.put(1, {"id": [1], "text": ["a"]})
    bundle.ingest()
    bundle.put(2, EVOLVED[change])
    with pytest.raises(DataError, match=f"t: columns changed .*{says}.*on_schema_change is reject"):
        bundle.ingest(2, on_schema_change="reject")
    assert (bundle.column("id"), bundle.batches()) == ([1], ["2013-01-01"])


@pytest.mark.parametrize("values", [["2"], [2.5], [2.0]])
@pytest.mark.parametrize("policy", ["evolve", "reject"])
def test_a_retyped_column_is_always_refused(bundle, values, policy):
    bundle.put(1, {"id": [1]})
    bundle.ingest()
    bundle.put(2, {"id": values})
    with pytest.raises(DataError, match="t: column types changed: id: int64 became"):
        bundle.ingest(2, on_schema_change=policy)
    assert (bundle.column("id"), bundle.batches()) == ([1], ["2013-01-01"])


def test_text_files_of_later_batches_have_the_tables_types(bundle):
    for number, text in {1: "code,x\nA7,1.5\n", 2: "code,x\n007,2\n", 3: "code,x\n,\n"}.items():
        (bundle.root / f"{month(number).id}.csv").write_text(text)
        bundle.ingest(number, files="{batch}.csv")
    assert {(row["code"], row["x"]) for row in bundle.rows()} == {("A7", 1.5), ("007", 2.0), (None, None)}


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([{"a": [1]}, {"a": [2], "b": [3]}], r"differ in their columns: \['a'\], then \['a', 'b'\]"),
        ([{"a": [1], "b": [3]}, {"a": [2]}], r"differ in their columns: \['a', 'b'\], then \['a'\]"),
        ([{"a": [1]}, {"a": ["2"]}], "differ in their types: a: int64, then string"),
        (
            [{"a": [None]}, {"a": [2]}],
            "differ in their types: a: string, then int64 .a column without any value is taken for text",
        ),
        ([{"a": [1]}, {"a": [2.5]}], "differ in their types: Float value 2.5.* was truncated"),
    ],
)
def test_parts_of_a_batch_that_differ_are_refused(bundle, parts, says):
    for number, part in enumerate(parts):
        bundle.put(number + 1, part)
    with pytest.raises(DataError, match=f"t: parts of one batch {says}"):
        bundle.ingest(files="t/*.parquet")
    assert not list(Path(bundle.lake.root).rglob("*.part"))
    assert bundle.lake.version("t") is None


def test_parts_may_order_their_columns_and_write_their_numbers_otherwise(bundle):
    bundle.put(1, {"a": [1], "b": ["x"]})
    bundle.put(2, {"b": ["y"], "a": pa.array([2.0, None], pa.float64())[:1]})
    bundle.put(3, {"b": pa.array([None], pa.null()), "a": [3]})
    bundle.ingest(files="t/*.parquet")
    assert bundle.lake.read("t").select(["a", "b"]).to_pylist() == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
        {"a": 3, "b": None},
    ]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pa.table({"a": [1], "_batch": ["x"]}), "the column name '_batch' is this package's own"),
        (pa.table({"a": [1], "A": [2]}), "columns 'A', 'a' have one name"),
        (pa.table({"a": pa.array([1], pa.duration("s"))}), r"Delta keeps no such type: a: duration\[s\]"),
        (pa.table({"a": [{"b": datetime(2013, 1, 1, tzinfo=UTC).time()}]}), "Delta keeps no such type: a: struct"),
    ],
)
def test_columns_that_the_lake_cannot_keep_are_named(bundle, table, says):
    bundle.put(1, table)
    with pytest.raises(DataError, match=f"t: {says}"):
        bundle.ingest()
    assert bundle.lake.version("t") is None


SOURCES = """
import pyarrow as pa

def nothing(batch):
    return []

def empty(batch):
    yield pa.table({"id": pa.array([], pa.int64())})

def fails(batch):
    yield pa.table({"id": [1]})
    raise OSError("the source is away")

def many(batch):
    for start in range(0, 1_000_000, 100_000):
        yield pa.table({"id": pa.array(range(start, start + 100_000))})
"""


@pytest.fixture
def functions(bundle, request):
    name = f"ingested_{abs(hash(request.node.nodeid))}"
    (bundle.root / f"{name}.py").write_text(SOURCES)
    return lambda function: f"{name}.{function}"


def test_no_table_is_an_error_and_an_empty_one_a_batch(bundle, functions):
    with pytest.raises(DataError, match="t: the source gave no table for 2013-01-01; yield an empty one"):
        bundle.ingest(python_callable=functions("nothing"))
    assert bundle.ingest(python_callable=functions("empty")).datasets["t"].rows == 0
    assert (bundle.rows(), bundle.batches()) == ([], ["2013-01-01"])


def test_a_source_that_fails_half_way_leaves_nothing(bundle, functions):
    with pytest.raises(OSError, match="the source is away"):
        bundle.ingest(python_callable=functions("fails"))
    assert not [path for path in Path(bundle.lake.root).rglob("*") if path.is_file()]


class Database:
    """A growing SQLite table `events`, read by a cursor on `id`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = {"db": {"conn_type": "sqlite", "host": str(path)}}
        self.execute("create table events (id integer, price real)")

    def execute(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as con:
            for statement in statements:
                con.execute(statement)
            con.commit()


@pytest.fixture
def database(bundle):
    made = Database(bundle.root / "source.db")
    source = {"sql": "select id, price from events where id > coalesce(:cursor, 0)", "conn_id": "db", "cursor": "id"}
    made.ingest = lambda number, **more: bundle.ingest(number, made.connections, **{**source, **more}).datasets["t"]
    return made


def test_a_cursor_takes_what_came_since(bundle, database):
    database.execute("insert into events values (1, 1.5), (2, null)")
    assert database.ingest(1).rows == 2
    database.execute("insert into events values (3, 3)")
    assert database.ingest(2).rows == 1
    assert database.ingest(3).rows == 0
    assert {(row["id"], row["price"]) for row in bundle.rows()} == {(1, 1.5), (2, None), (3, 3.0)}


def test_a_cursor_never_goes_back_when_an_old_batch_comes_late(bundle, database):
    for number, batch in enumerate((1, 3, 2, 4), 1):
        database.execute(f"insert into events values ({number}, 0)")
        database.ingest(batch)
    assert bundle.column("id") == [1, 2, 3, 4]


def test_a_cursor_that_is_no_column_is_named(database):
    database.execute("insert into events values (1, 1.5)")
    database.ingest(1, cursor="number")
    with pytest.raises(DataError, match="t: no column 'number' for the cursor; there are"):
        database.ingest(2, cursor="number")


class Reference:
    """The reference table `t` out of one CSV file."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def ingest(self, number: int, text: str, **more):
        (self.bundle.root / "reference.csv").write_text(text)
        return self.bundle.ingest(number, files="reference.csv", reference=True, **more).datasets["t"]


@pytest.fixture
def reference(bundle):
    return Reference(bundle)


A, B = "code,name\n1,a\n2,b\n", "code,name\n1,a\n2,c\n"


def test_a_reference_table_is_replaced_only_when_it_changed(bundle, reference):
    written = [reference.ingest(number, text).written for number, text in enumerate([A, A, B, B, A], 1)]
    assert written == [True, False, True, False, True]
    assert bundle.column("name") == ["a", "b"]
    assert "_batch" not in bundle.rows()[0]


def test_a_reference_table_that_changes_back_within_a_batch_is_replaced(bundle, reference):
    versions = [reference.ingest(1, text).dataset.version for text in (A, B, A, A)]
    assert versions == [1, 2, 3, 3]
    assert bundle.column("name") == ["a", "b"]


def test_of_a_reference_tables_rows_with_one_key_the_first_stays(bundle, reference):
    assert reference.ingest(1, "code,name\n2,b\n1,a\n2,c\n", unique_key=("code",)).rows == 2
    assert [row["name"] for row in bundle.rows()] == ["b", "a"]
    with pytest.raises(DataError, match=r"t: no column \['number'\] for unique_key"):
        reference.ingest(2, B, unique_key=("number",))


def test_a_reference_tables_columns_follow_the_policy(bundle, reference):
    reference.ingest(1, A)
    with pytest.raises(DataError, match=r"new: \['more'\]"):
        reference.ingest(2, "code,name,more\n1,a,x\n", on_schema_change="reject")
    reference.ingest(2, "code,name,more\n1,a,x\n")
    assert bundle.rows() == [{"code": 1, "name": "a", "more": "x"}]
    with pytest.raises(DataError, match=r"reference\.csv is not readable as csv: .*conversion error to int64"):
        reference.ingest(3, "code,name,more\nA1,a,x\n")


def test_a_reference_source_without_a_table_is_named(bundle, functions):
    with pytest.raises(DataError, match="t: the source gave no table; yield an empty one"):
        bundle.ingest(python_callable=functions("nothing"), reference=True)


CHILD = """
import os, sys, warnings
warnings.simplefilter("ignore")
from airflow_mlops_provider.contracts.ingest import IngestSpec
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.ingest import ingest
from airflow_mlops_provider.steps.lake import Lake

def pause(where):
    print(where, flush=True)
    sys.stdin.readline()

write = Lake.write_once
def paused(self, table, *args, **kwargs):
    if table in sys.argv[2:]:
        pause(table)
    return write(self, table, *args, **kwargs)
Lake.write_once = paused
result = ingest(IngestSpec.model_validate_json(sys.argv[1]), StepContext("run", emit=lambda _: None))
pause(result.model_dump_json())
os._exit(0)
"""


@pytest.fixture
def child(bundle):
    """Start an ingest of `many` in another process; it waits before it writes one of `stops`, and with its outcome."""
    started = []

    def start(spec: IngestSpec, *stops: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", CHILD, spec.model_dump_json(), *stops]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go_on(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def wait_for_file(folder: Path, pattern: str) -> None:
    before, deadline = len(list(folder.glob(pattern))), time.monotonic() + 60
    while len(list(folder.glob(pattern))) == before:
        assert time.monotonic() < deadline, f"no {pattern}"


@pytest.mark.slow
@pytest.mark.parametrize("when", ["data files", "commit", "before the ledger", "outcome"])
def test_killed_from_outside_the_retry_gives_each_row_once(bundle, functions, child, when):
    spec = bundle.spec(python_callable=functions("many"))
    folder = Path(bundle.lake.uri("t"))
    ledger = "_ledgers/batches/t"
    stops = {"before the ledger": (ledger,), "outcome": ()}.get(when, ("t", ledger))
    process = child(spec, *stops)
    assert process.stdout.readline()
    if when in ("data files", "commit"):
        go_on(process)
        wait_for_file(folder, "*.parquet" if when == "data files" else "_delta_log/*1.json")
    kill(process)
    assert bundle.batches() == (["2013-01-01"] if when == "outcome" else [])
    done = ingest(spec, StepContext("run", emit=lambda _: None)).datasets["t"]
    assert (done.rows, done.written) == (1_000_000, when != "outcome")
    assert bundle.batches() == ["2013-01-01"]
    ids = bundle.lake.read("t").column("id")
    assert len(ids) == len(ids.unique()) == 1_000_000


@pytest.mark.slow
def test_two_processes_on_one_batch_bring_it_in_once(bundle, functions, child):
    spec = bundle.spec(python_callable=functions("many"))
    processes = [child(spec, "t") for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "t\n"
    for process in processes:
        go_on(process)
    results = [json.loads(process.stdout.readline()) for process in processes]
    assert results[0]["datasets"]["t"]["dataset"] == results[1]["datasets"]["t"]["dataset"]
    assert bundle.lake.read("t").num_rows == 1_000_000
    assert len(BatchLedger(bundle.lake, "t").rows()) == bundle.lake.version("_ledgers/batches/t") == 1

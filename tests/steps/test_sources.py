"""Each kind of source gives its rows as Arrow, or says what is wrong with it."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.ingest import Source
from airflow_mlops_provider.exceptions import ConfigError, DataError, TransientError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.sources import read_source
from tests.steps.servers import PASSWORD, free_port

BATCH = Batch(id="2013-01-01", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))


def read(bundle, connections=None, *, known=None, after=None, batch=BATCH, **source):
    context = StepContext("run", connections or {}, emit=lambda _: None)
    parts = read_source("t", Source(**source), batch, context, bundle=str(bundle), known=known, cursor=after)
    return pa.concat_tables(list(parts), promote_options="default")


FUNCTIONS = """
import pandas as pd, pyarrow as pa

def generator(batch):
    yield pa.record_batch({"a": [1]})
    yield pa.table({"a": [2]})
    yield pd.DataFrame({"a": [3]}, index=[7])

def table(batch):
    return pa.table({"a": [batch.id]})

def frame(batch, context):
    return pd.DataFrame({"a": [context.run_key]})

def text(batch):
    return "no table"

def numbers(batch):
    yield 1

def mixed(batch):
    return pd.DataFrame({"a": [1, "x"]})

def fails(batch):
    yield pa.table({"a": [1]})
    raise ValueError("the source is away")

constant = 1
"""


@pytest.fixture
def functions(tmp_path, request):
    # A module of its own for each test: Python remembers modules by name.
    name = f"functions_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    return lambda function: read(tmp_path, python_callable=f"{name}.{function}")


@pytest.mark.parametrize(
    ("function", "values"), [("generator", [1, 2, 3]), ("table", ["2013-01-01"]), ("frame", ["run"])]
)
def test_a_function_gives_tables_batches_or_frames(functions, function, values):
    assert functions(function).to_pydict() == {"a": values}


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("text", "t: a source yields Arrow tables, record batches or pandas frames, not str"),
        ("numbers", "not int"),
        ("mixed", "t: a frame is no table: .*column a"),
        ("nowhere", "cannot be imported from"),
        ("constant", "is a int, not a function"),
    ],
)
def test_what_a_function_gives_wrong_is_named(functions, function, says):
    with pytest.raises(DataError, match=says):
        functions(function)


def test_what_a_function_raises_comes_through(functions):
    with pytest.raises(ValueError, match="the source is away"):
        functions("fails")


def test_files_match_by_glob_in_order_and_by_batch(tmp_path):
    for name, text in {
        "2013-01-01/b.csv": "a\n2\n",
        "2013-01-01/a.csv": "a\n1\n",
        "2013-02-01/a.csv": "a\n3\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read(tmp_path, files="{batch}/*.csv")["a"].to_pylist() == [1, 2]
    assert read(tmp_path, files=f"file://{tmp_path}/2013-02-01/a.csv")["a"].to_pylist() == [3]


JSONL = '{"a": 1, "b": "x"}\n{"a": 2, "b": null}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1,x\n2,\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,x\n2,\n", mtime=0)),
        ("t.jsonl", JSONL.encode()),
        ("t.json", JSONL.encode()),
        ("t.jsonl.gz", gzip.compress(JSONL.encode(), mtime=0)),
    ],
)
def test_the_ending_tells_the_format(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path, files=name).to_pydict() == {"a": [1, 2], "b": ["x", None]}


def test_parquet_keeps_its_own_types(tmp_path):
    table = pa.table({"a": pa.array([1], pa.int8()), "at": pa.array([0], pa.timestamp("us", "UTC"))})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read(tmp_path, files="t.parquet", known=pa.schema([("a", pa.int64())])) == table
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    assert read(tmp_path, files="empty.parquet").schema == table.schema


KNOWN = pa.schema([("code", pa.string()), ("x", pa.float64()), ("elsewhere", pa.int64())])


@pytest.mark.parametrize(
    ("name", "text"), [("t.csv", "code,x\n007,1\n,\n"), ("t.jsonl", '{"code": "007", "x": 1}\n{}\n')]
)
def test_text_is_read_in_the_types_of_the_table(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    found = read(tmp_path, files=name, known=KNOWN)
    assert found.to_pydict() == {"code": ["007", None], "x": [1.0, None]}
    assert found.schema.types == [pa.string(), pa.float64()]


def test_a_quoted_empty_text_is_no_null(tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n1,""\n2,\n3,x\n')
    assert read(tmp_path, files="t.csv")["b"].to_pylist() == ["", None, "x"]


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ({"delimiter": ";", "decimal_point": ","}, 'a;b\n1,5;"x;y"\n-2,25;\n'),
        ({"delimiter": "\t"}, 'a\tb\n1.5\t"x;y"\n-2.25\t\n'),
        ({"delimiter": "|", "decimal_point": ","}, "a|b\n1,5|x;y\n-2,25|\n"),
        ({}, "a,b\n1.5,x;y\n-2.25,\n"),
    ],
)
@pytest.mark.parametrize("known", [None, pa.schema([("a", pa.float64()), ("b", pa.string())])])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_a_file_is_read_in_its_dialect(tmp_path, dialect, text, known, mark):
    (tmp_path / "t.csv").write_text(mark + text, encoding="utf-8")
    found = read(tmp_path, files="t.csv", csv=dialect, known=known)
    assert found.to_pydict() == {"a": [1.5, -2.25], "b": ["x;y", None]}


def test_a_file_of_another_delimiter_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1,5;2\n")
    with pytest.raises(DataError, match=r"has no ',' but ';': say `csv: \{delimiter: \";\"\}`"):
        read(tmp_path, files="t.csv")
    (tmp_path / "t.csv").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match=r"has no ';' but '\\t': say `csv: \{delimiter: \"\\t\"\}`"):
        read(tmp_path, files="t.csv", csv={"delimiter": ";"})
    (tmp_path / "t.csv").write_text("a^b\n1^2\n")
    known = pa.schema([("a", pa.int64()), ("b", pa.int64())])
    with pytest.raises(DataError, match=r"its only column is 'a\^b', the table has \['a', 'b'\]: is ',' the file's"):
        read(tmp_path, files="t.csv", known=known)


def test_one_column_and_a_quoted_name_need_no_delimiter(tmp_path):
    (tmp_path / "t.csv").write_text('"price; net"\n1\n')
    assert read(tmp_path, files="t.csv").to_pydict() == {"price; net": [1]}
    (tmp_path / "t.csv").write_text("a\n1;2\n")
    assert read(tmp_path, files="t.csv", known=KNOWN.append(pa.field("a", pa.string())))["a"].to_pylist() == ["1;2"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"csv": {"delimiter": ";;"}}, "should match pattern"),
        ({"csv": {"delimiter": "x"}}, "should match pattern"),
        ({"csv": {"delimiter": '"'}}, "should match pattern"),
        ({"csv": {"delimiter": ","}, "format": "parquet"}, "csv is for `files` in CSV"),
        ({"csv": {"decimal_point": ","}}, "delimiter and decimal_point are both ','"),
        ({"csv": {"decimal_point": "'"}}, "Input should be '.' or ','"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused(source, says):
    with pytest.raises(ValidationError, match=says):
        Source(files="t.csv", **source)


def test_a_dialect_is_for_csv_alone(tmp_path):
    with pytest.raises(ValidationError, match="csv is for `files` in CSV"):
        Source(python_callable="a.b", csv={"delimiter": ";"})
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet is no CSV file: remove `csv`"):
        read(tmp_path, files="t.parquet", csv={"delimiter": ";"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", b"", "t.csv is not readable as csv: Empty CSV file"),
        ("t.csv", b"a,b\n1\n", "t.csv is not readable as csv: .*Expected 2 columns, got 1"),
        ("t.csv", b"a\n\xff\n", r"column \['a'\] is not UTF-8"),
        ("t.csv", b"x\nfast\n", "t.csv is not readable as csv: .*conversion error to double"),
        ("t.csv.gz", b"a\n1\n", "t.csv.gz is not readable as csv: Not a gzipped file"),
        ("t.jsonl", b'{"a": 1}\n{"a":', "t.jsonl is not readable as jsonl"),
        ("t.jsonl", b'{"x": "fast"}\n', "t.jsonl is not readable as jsonl: .*changed from number to string"),
        ("t.parquet", b"no parquet here", "t.parquet is not readable as parquet: Parquet magic bytes not found"),
        ("t.txt", b"a\n1\n", "t.txt ends in '.txt': say format: csv, parquet or jsonl"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        read(tmp_path, files=name, known=KNOWN)


def test_a_damaged_parquet_file_is_named(tmp_path):
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[:100] + b"\0" * 600 + whole[700:])
    with pytest.raises(DataError, match=r"t\.parquet is not readable as parquet"):
        read(tmp_path, files="t.parquet")


def test_no_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t: no file matches '.*/2013-01-01/\*\.csv'"):
        read(tmp_path, files="{batch}/*.csv")
    with pytest.raises(DataError, match="t: no file matches 'memory://nowhere/t"):
        read(tmp_path, files="memory://nowhere/t.csv")


def test_files_of_an_s3_store_with_airflows_connection(tmp_path, s3, bucket):
    client, name = bucket
    source = {"files": f"s3://{name}/in/{{batch}}*.csv.gz", "conn_id": "store"}
    with pytest.raises(DataError, match="no file matches 's3://"):
        read(tmp_path, {"store": s3}, **source)
    # The same process sees what came since.
    for part in (1, 2):
        client.put_object(Bucket=name, Key=f"in/2013-01-01-{part}.csv.gz", Body=gzip.compress(b"a\n%d\n" % part))
        assert read(tmp_path, {"store": s3}, **source)["a"].to_pylist() == [1, 2][:part]
    with pytest.raises(ConfigError, match=r"connection 'store' was not handed to this step; known: \[\]"):
        read(tmp_path, {}, **source)


@pytest.fixture
def sqlite(tmp_path):
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as con:
        con.executescript(
            """
            create table events (id integer, at text, price real, anything);
            insert into events values (1, '2012-12-31 23:00:00', 1.5, 1), (2, '2013-01-01 00:00:00', 2, 'x'),
                (3, '2013-01-31 23:59:59', null, null), (4, '2013-02-01 00:00:00', 4.5, null);
            """
        )
        con.commit()
    return {"db": {"conn_type": "sqlite", "host": str(path)}}


INTERVAL = "select id, price from events where datetime(at) >= datetime(:start) and datetime(at) < datetime(:end)"


def test_sql_takes_the_batchs_interval(tmp_path, sqlite):
    found = read(tmp_path, sqlite, sql=f"{INTERVAL} order by id", conn_id="db")
    assert found.to_pydict() == {"id": [2, 3], "price": [2.0, None]}


def test_a_time_is_bound_alike_whatever_libraries_set(tmp_path, sqlite, monkeypatch):
    # Feast, once imported, has every SQLite connection of the process take times as seconds.
    monkeypatch.setitem(sqlite3.adapters, (datetime, sqlite3.PrepareProtocol), lambda when: int(when.timestamp()))
    found = read(tmp_path, sqlite, sql="select :start as a, :end as b", conn_id="db")
    assert found.to_pydict() == {"a": ["2013-01-01 00:00:00+00:00"], "b": ["2013-02-01 00:00:00+00:00"]}


def test_sql_takes_the_cursor(tmp_path, sqlite):
    query = {
        "sql": "select id from events where id > coalesce(:cursor, 0) order by id",
        "conn_id": "db",
        "cursor": "id",
    }
    assert read(tmp_path, sqlite, **query)["id"].to_pylist() == [1, 2, 3, 4]
    assert read(tmp_path, sqlite, **query, after=3)["id"].to_pylist() == [4]


def test_a_colon_in_a_query_is_no_value_to_bind(tmp_path, sqlite):
    found = read(
        tmp_path, sqlite, sql="select '\\:start' as a, strftime('%H\\:%M', at) as b from events limit 1", conn_id="db"
    )
    assert found.to_pydict() == {"a": [":start"], "b": ["23:00"]}


def test_no_rows_are_an_empty_table_once_the_types_are_known(tmp_path, sqlite):
    query = {"sql": "select id, price from events where id > 99", "conn_id": "db"}
    with pytest.raises(DataError, match="t: the query gives no row for 2013-01-01, and nothing earlier tells"):
        read(tmp_path, sqlite, **query)
    assert read(tmp_path, sqlite, known=KNOWN, **query).to_pydict() == {"id": [], "price": []}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select * from nowhere", "t: the query failed: OperationalError: no such table: nowhere"),
        ("select id, id from events", "t: the query gives id twice: name them apart with `as`"),
        ("select anything from events order by id", "t: column 'anything': .*; cast it in the query"),
        ("select id from events where id = :nobody", "t: the query failed: .*'nobody'"),
    ],
)
def test_a_wrong_query_is_said_in_the_drivers_words(tmp_path, sqlite, query, says):
    with pytest.raises(DataError, match=says):
        read(tmp_path, sqlite, sql=query, conn_id="db")


def test_a_connection_that_is_no_database_is_named(tmp_path):
    connection = {"db": {"conn_type": "http", "host": "somewhere", "password": PASSWORD}}
    with pytest.raises(ConfigError, match="t: connection 'db' is of type 'http', no SQL database") as raised:
        read(tmp_path, connection, sql="select 1 as a", conn_id="db")
    assert PASSWORD not in str(raised.value)


@pytest.fixture
def events(postgres):
    """A table of PostgreSQL with a month in two parts, each larger than what is fetched at once."""
    import psycopg

    fields = {key: postgres[key] for key in ("host", "port", "password")}
    with psycopg.connect(dbname="postgres", user=postgres["login"], **fields) as con:
        con.execute("drop schema if exists raw cascade")
        con.execute("create schema raw")
        con.execute(
            """
            create table raw.events as select i as id, (i / 4.0)::numeric(10, 2) as price, (i % 2 = 0) as even,
                timestamptz '2013-01-01 00:00+00' + i * interval '1 minute' as at, 'é' || i as name,
                null::text as nothing
            from generate_series(1, 70000) i
            """
        )
    return {"pg": postgres}


def test_postgres_rows_come_streamed_with_their_types(tmp_path, events):
    query = "select * from raw.events where at >= :start and at < :end order by id"
    source = Source(sql=query, conn_id="pg")
    parts = list(read_source("t", source, BATCH, StepContext("run", events), bundle=str(tmp_path)))
    assert [part.num_rows for part in parts] == [44_639]
    year = BATCH.model_copy(update={"end": datetime(2014, 1, 1, tzinfo=UTC)})
    parts = list(read_source("t", source, year, StepContext("run", events), bundle=str(tmp_path)))
    assert [part.num_rows for part in parts] == [65_536, 4_464]
    first = parts[0].slice(0, 1).to_pylist()[0]
    assert first["at"] == datetime(2013, 1, 1, 0, 1, tzinfo=UTC)
    assert (first["price"], first["even"], first["name"], first["nothing"]) == (Decimal("0.25"), False, "é1", None)
    assert parts[0].schema.field("price").type == parts[1].schema.field("price").type == pa.decimal128(38, 2)


def test_postgres_goes_on_from_the_cursor(tmp_path, events):
    query = {"sql": "select id from raw.events where id > coalesce(:cursor, 0)", "conn_id": "pg", "cursor": "id"}
    assert read(tmp_path, events, **query).num_rows == 70_000
    assert sorted(read(tmp_path, events, **query, after=69_998)["id"].to_pylist()) == [69_999, 70_000]


def test_no_message_holds_the_password(tmp_path, events):
    wrong = {"pg": {**events["pg"], "password": f"{PASSWORD}-wrong"}}
    away = {"pg": {**events["pg"], "port": free_port()}}
    for connections in (wrong, away):
        with pytest.raises(TransientError, match="t: connection 'pg' does not open") as raised:
            read(tmp_path, connections, sql="select 1 as a", conn_id="pg")
        assert PASSWORD not in str(raised.value)
        assert raised.value.__cause__ is None
    with pytest.raises(DataError, match='ProgrammingError: relation "nowhere" does not exist') as raised:
        read(tmp_path, events, sql="select * from nowhere", conn_id="pg")
    assert PASSWORD not in str(raised.value)

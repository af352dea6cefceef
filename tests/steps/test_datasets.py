"""A dataset reference of each kind is read as a view, or it is said what is not there."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.datasets import dataset_view

ROWS = pa.table({"id": [1, 2], "text": ["a", None]})


@pytest.fixture
def read(lake):
    def read(ref: DatasetRef, connections=None) -> list[tuple]:
        with duckdb.connect() as con:
            dataset_view(con, "v", ref, lake, StepContext("run", connections or {}))
            return con.sql("select * from v order by all").fetchall()

    return read


def test_a_lake_table_is_read_at_its_version(lake, read):
    for app in ("first", "second"):
        lake.write_once("t", ROWS, app=app)
    assert read(DatasetRef(name="t", version=1)) == [(1, "a"), (2, None)]
    assert len(read(DatasetRef(name="t"))) == 4
    with pytest.raises(DataError, match="has no table 'nowhere'"):
        read(DatasetRef(name="nowhere"))


def test_a_parquet_path_is_read(tmp_path, read):
    pq.write_table(ROWS, tmp_path / "a.parquet")
    assert read(DatasetRef(kind="parquet", name=f"{tmp_path}/a.parquet")) == [(1, "a"), (2, None)]
    assert len(read(DatasetRef(kind="parquet", name=f"{tmp_path}/*.parquet"))) == 2


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_path_without_parquet_is_named(tmp_path, read, scheme):
    with pytest.raises(DataError, match=r"no Parquet file at '.*nowhere\.parquet'"):
        read(DatasetRef(kind="parquet", name=f"{scheme}{tmp_path}/nowhere.parquet"))
    (tmp_path / "text.parquet").write_text("not what the ending says")
    with pytest.raises(DataError, match=r"text\.parquet' is not Parquet: "):
        read(DatasetRef(kind="parquet", name=f"{scheme}{tmp_path}/text.parquet"))


@pytest.fixture
def sqlite(tmp_path):
    with closing(sqlite3.connect(tmp_path / "source.db")) as con:
        con.executescript(
            """
            create table "select" (id integer, text text);
            insert into "select" values (1, 'a'), (2, null);
            """
        )
    return {"db": {"conn_type": "sqlite", "host": str(tmp_path / "source.db")}}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("select", [(1, "a"), (2, None)]),
        ("main.select", [(1, "a"), (2, None)]),
        ('select id * 2 as double from "select"', [(2,), (4,)]),
        ('select id from "select" where id > 2', []),
    ],
)
def test_a_table_or_a_query_behind_a_connection_is_read(read, sqlite, name, rows):
    assert read(DatasetRef(kind="sql", name=name, conn_id="db"), sqlite) == rows


def test_what_is_wrong_with_a_sql_dataset_is_said(read, sqlite):
    with pytest.raises(DataError, match="dataset 't' of kind sql needs conn_id"):
        read(DatasetRef(kind="sql", name="t"))
    with pytest.raises(DataError, match="dataset 't': the query failed: OperationalError: no such table: t"):
        read(DatasetRef(kind="sql", name="t", conn_id="db"), sqlite)

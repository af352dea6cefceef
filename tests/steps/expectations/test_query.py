"""The SQL of an unexpected_rows_expectation: a closed grammar with the meaning that SQL has."""

from __future__ import annotations

from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_mlops_provider.steps.expectations.base import Inapplicable
from airflow_mlops_provider.steps.expectations.query import UnexpectedRows

pytestmark = pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*:DeprecationWarning")

NUMBER = st.none() | st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.0, 100.0])
ROWS = st.lists(st.tuples(NUMBER, NUMBER, st.none() | st.sampled_from(["AA", "UA", "a%", ""])), min_size=1, max_size=8)
SCHEMA = pa.schema([("x", pa.float64()), ("y", pa.float64()), ("s", pa.string())])

# Each means in DuckDB what it means here (no division by zero, no logarithm below it).
CONDITIONS = [
    "x > y",
    "x <> y OR s = 'AA'",
    "NOT (x > 0 AND y >= 0.5)",
    "x IS NULL AND s IS NOT NULL",
    "x BETWEEN -0.5 AND y",
    "x NOT BETWEEN 0 AND 1",
    "s LIKE 'A%'",
    "s NOT LIKE '%\\%'",
    "s IN ('AA', '')",
    "s NOT IN (SELECT carrier FROM airlines)",
    "s IN (SELECT carrier FROM airlines)",
    "ABS(x - y) * 2 + 1 > 3",
    "-x < 1 AND - 1 < y",
    "COALESCE(x, y, 0) <= 0",
    "ROUND(x * 1.26, 1) = 0.6",
    "EXP(x) / 3 > LN(3)",
    "0.5 < x",
    "TRUE AND x = 1",
]


def ours(rows: list[Any], condition: str) -> list[Any]:
    claim = UnexpectedRows(unexpected_rows_query=f"SELECT * FROM {{batch}} WHERE {condition}")
    with duckdb.connect() as con:
        _register(con, rows)
        backend = ibis.duckdb.from_connection(con)
        table = backend.table("t")
        lookups = {name: backend.table(name) for name in claim.lookups()}
        return table.filter(claim.unexpected(table, lookups)).to_pyarrow()["n"].to_pylist()


def _register(con: duckdb.DuckDBPyConnection, rows: list[Any]) -> None:
    columns = zip(*rows, strict=True)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    con.register("t", table.append_column("n", pa.array(range(len(rows)))))
    con.register("airlines", pa.table({"carrier": ["AA", "DL"]}))


@pytest.mark.parametrize("condition", CONDITIONS)
@given(rows=ROWS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_condition_means_what_it_means_to_the_engine(condition: str, rows: list[Any]) -> None:
    with duckdb.connect() as con:
        _register(con, rows)
        theirs = [row[0] for row in con.sql(f"select n from t where {condition} order by n").fetchall()]
    assert sorted(ours(rows, condition)) == theirs


def test_what_has_no_value_is_unknown_and_not_unexpected() -> None:
    rows = [(0.0, 0.0, "a"), (-1.0, float("nan"), "a"), (1.0, 2.0, "a")]
    assert ours(rows, "LN(x) < 1") == [2]
    assert ours(rows, "y / x > 0") == [2]
    assert ours(rows, "y > 5") == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM {batch}",
        "SELECT a FROM {batch} WHERE a > 1",
        "SELECT DISTINCT * FROM {batch} WHERE a > 1",
        "SELECT * FROM other WHERE a > 1",
        "SELECT * FROM {batch}, other WHERE a > 1",
        "SELECT * FROM {batch} AS b WHERE b.a > 1",
        "SELECT * FROM {batch} JOIN {batch} ON 1 = 1 WHERE a > 1",
        "SELECT * FROM {batch} WHERE a > 1 ORDER BY a",
        "SELECT * FROM {batch} WHERE a > 1 LIMIT 1",
        "SELECT * FROM {batch} WHERE a > 1; DROP TABLE t",
        "SELECT * FROM {batch} WHERE a > 1 UNION SELECT * FROM {batch}",
        "WITH x AS (SELECT 1) SELECT * FROM {batch} WHERE a > 1",
        "SELECT * FROM {batch} WHERE read_text('/etc/passwd') = a",
        "SELECT * FROM {batch} WHERE a IN (SELECT a FROM read_csv('x'))",
        "SELECT * FROM {batch} WHERE a IN (SELECT a FROM 'x.parquet')",
        "SELECT * FROM {batch} WHERE a IN (SELECT a FROM db.secret)",
        "SELECT * FROM {batch} WHERE a IN (SELECT a FROM o WHERE a > 1)",
        "SELECT * FROM {batch} WHERE a IN (SELECT max(a) FROM o)",
        'SELECT * FROM {batch} WHERE a IN (SELECT a FROM "../o")',
        "SELECT * FROM {batch} WHERE a > (SELECT 1)",
        "SELECT * FROM {batch} WHERE EXISTS (SELECT 1)",
        "SELECT * FROM {batch} WHERE CAST(a AS INT) = 1",
        "SELECT * FROM {batch} WHERE a LIKE b",
        "SELECT * FROM {batch} WHERE a LIKE 'x' ESCAPE 'y'",
        "SELECT * FROM {batch} WHERE a IS TRUE",
        "SELECT * FROM {batch} WHERE a = '{batch}'",
        "SELECT * FROM {batch} WHERE " + "(" * 2000 + "a" + ")" * 1900,
        "SELECT * FROM {batch} WHERE " + "NOT " * 900 + "a",
        "SELECT * FROM {batch} WHERE a = '" + "x" * 5000 + "'",
        "DELETE FROM {batch} WHERE a > 1",
        "SELECT * FROM {batch} WHERE a >",
        "",
    ],
)
def test_everything_else_is_refused(query: str) -> None:
    with pytest.raises(ValidationError):
        UnexpectedRows.model_validate({"unexpected_rows_query": query})


@pytest.mark.parametrize(
    "condition", ["s > 1", "x = 'a'", "x + s > 1", "x", "1 = 1", "x IN (SELECT carrier FROM airlines)"]
)
def test_kinds_that_do_not_compare_are_told(condition: str) -> None:
    with pytest.raises(Inapplicable):
        ours([(1.0, 2.0, "a")], condition)


def test_columns_and_lookups_are_known_before_the_scan() -> None:
    claim = UnexpectedRows(
        unexpected_rows_query="SELECT * FROM {batch} WHERE s NOT IN (SELECT carrier FROM airlines) AND x > 1"
    )
    assert (claim.columns(), claim.lookups()) == (("s", "x"), ("airlines",))

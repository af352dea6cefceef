"""The expressions that Spark runs ask for what is counted in batches: here both in DuckDB."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from airflow_mlops_provider.steps import profile_queries as queries
from airflow_mlops_provider.steps.profile_tally import REST, Counted, count

EDGES = (-1.0, 0.25, 1.0)
ROWS = """
    create table rows as
    select date '2013-01-01' + (i % 3)::int as day, if(i % 7 = 0, null, sin(i) * 2) as value,
        if(i % 11 = 0, null, chr(97 + (i * i % 5)::int)) as level
    from range(500) r(i) union all select null, null, null
"""


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(ROWS)
        yield made


@pytest.fixture(scope="module")
def counted(con: duckdb.DuckDBPyConnection) -> Counted:
    return count(con.table("rows").to_arrow_reader(100), {"value": EDGES}, {"level": ("a", "b", REST)})


def run(con: duckdb.DuckDBPyConnection, query: str, cells: str) -> list[tuple[object, ...]]:
    con.execute(f"create or replace temp view {queries.CELLS} as {cells}")
    return con.sql(query).fetchall()


def matrix(found: list[tuple[object, ...]], counted: Counted, keys: list[object]) -> list[list[int]]:
    table = np.zeros((len(counted.days) + 1, len(keys)), int)
    for day, key, rows, *_ in found:
        table[[*counted.days, None].index(day), keys.index(key)] += rows
    return table.tolist()


def test_bins(con: duckdb.DuckDBPyConnection, counted: Counted) -> None:
    beside = ", ".join(f"{e}::double as {name}" for e, name in zip(EDGES, queries.edge_names(3), strict=True))
    found = run(con, queries.bins(3, "duckdb"), f"select day, value, {beside} from rows")
    expected = counted.columns["value"]
    assert matrix(found, counted, [0, 1, 2, 3, None]) == expected.counts.tolist()
    sums = [sum(total for _, key, _, total in found if key == place) for place in range(4)]
    assert sums == pytest.approx(expected.sums)


def test_figures(con: duckdb.DuckDBPyConnection, counted: Counted) -> None:
    ((mean, std, low, high),) = run(con, queries.figures("duckdb"), "select value from rows")
    figures = counted.columns["value"].figures
    assert (mean, std, low, high) == pytest.approx((figures.mean, figures.std, figures.minimum, figures.maximum))


def test_buckets_and_levels(con: duckdb.DuckDBPyConnection, counted: Counted) -> None:
    con.execute(f"create or replace temp table {queries.KNOWN} as select unnest(['a', 'b']) as known")
    cells = f"select day, level, '{REST}' as rest from rows"
    found = run(con, queries.buckets("duckdb"), cells)
    assert matrix(found, counted, ["a", "b", REST, None]) == counted.columns["level"].counts.tolist()
    levels = con.sql("select level from rows where level is not null group by 1 order by count(*) desc, 1 limit 2")
    assert [level for level, _ in run(con, queries.levels(2, "duckdb"), cells)] == [v for (v,) in levels.fetchall()]

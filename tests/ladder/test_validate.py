"""Rung 2: a GX suite that exists, on a table that exists."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ladder.pages import blocks, visits

PAGE = blocks("2-validate.md")


@pytest.mark.parametrize(
    ("bad", "verdict", "states"),
    [
        (0, "pass", {"validate": "success", "publish": "success"}),
        (60, "refused", {"validate": "failed", "publish": "upstream_failed"}),
    ],
)
def test_what_is_behind_runs_only_where_the_table_passes(site, bad, verdict, states):
    site.put(PAGE)
    (site.dags / "data").mkdir()
    table = visits(10)
    ages = pa.array([3] * bad + table["age"].to_pylist()[bad:])
    pq.write_table(table.set_column(2, "age", ages), site.dags / "data" / "visits.parquet")
    run = site.run("check_visits")
    assert run.tasks == states
    found = run.results["validate"]["datasets"]["visits"]
    assert (found["verdict"], found["rows"], found["quarantined"]) == (verdict, 600, bad)
    assert len(found["expectations"]) == 3

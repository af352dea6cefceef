"""Rung 1: drift between two tables, wherever they lie, in a DAG of one's own."""

from __future__ import annotations

import sqlite3

import pyarrow.parquet as pq
import pytest

from tests.ladder.pages import blocks, visits

PAGE = blocks("1-drift.md")
NOW, THEN = (
    '{"kind": "parquet", "name": "data/visits_now.parquet"}',
    '{"kind": "parquet", "name": "data/visits_then.parquet"}',
)


@pytest.fixture
def tables(site, connect, tmp_path):
    """Return a function that writes both sides to Parquet, to the lake and to a database."""

    def write(shift: float) -> None:
        (site.dags / "data").mkdir()
        sides = {"then": visits(40, seed=1), "now": visits(10, seed=2, shift=shift)}
        with sqlite3.connect(tmp_path / "shop.db") as shop:
            for name, table in sides.items():
                pq.write_table(table, site.dags / "data" / f"visits_{name}.parquet")
                plain = table.select(["age", "plan", "spend"]).to_pandas()
                plain.to_sql(f"visits_{name}", shop, index=False)
        shop.close()
        site.lake.write_once("visits_2024", sides["then"], app="then")
        site.lake.write_once("visits", sides["now"], app="now")
        connect("warehouse", conn_type="sqlite", host=str(tmp_path / "shop.db"))

    return write


@pytest.mark.parametrize(("shift", "drifted"), [(2.0, ["spend"]), (0.0, [])])
def test_the_page_finds_drift_between_files_where_there_is_any(site, tables, shift, drifted):
    tables(shift)
    site.put({"dags/watch_visits.py": PAGE["dags/watch_visits.py"]})
    run = site.run("watch_visits")
    assert run.state == "success"
    (found,) = run.results["drift"]["batches"]
    assert (found["drifted"], found["named"], found["null"]) == (drifted, drifted, "blocks")


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ('{"name": "visits"}', '{"name": "visits_2024", "version": 1}'),
        (
            '{"kind": "sql", "name": "visits_now", "conn_id": "warehouse"}',
            '{"kind": "sql", "name": "select * from visits_then", "conn_id": "warehouse"}',
        ),
        ('{"kind": "sql", "name": "visits_now", "conn_id": "warehouse"}', THEN),
    ],
    ids=["lake", "sql", "sql against a file"],
)
def test_a_table_may_lie_elsewhere(site, tables, now, then):
    tables(2.0)
    source = PAGE["dags/watch_visits.py"].replace(NOW, now).replace(THEN, then)
    if "sql" in now:
        source = source.replace('event_timestamp="at",', "")
    site.put({"dags/watch_visits.py": source})
    (found,) = site.run("watch_visits").results["drift"]["batches"]
    # Without the column of time no day is known.
    assert (found["drifted"], found["null"]) == (["spend"], "rows" if "sql" in now else "blocks")


@pytest.mark.parametrize(("shift", "state"), [(2.0, "success"), (0.0, "skipped")])
def test_the_pages_sensor_starts_what_waits_for_drift(site, tables, shift, state):
    tables(shift)
    source = PAGE["dags/on_drift.py"].replace("poke_interval=3600", "poke_interval=1").replace("3 * 3600", "2")
    site.put({"dags/on_drift.py": source})
    assert site.run("on_drift").tasks == {"drift": state, "tell_the_team": state}


def test_a_classifier_may_be_asked(site, tables):
    tables(2.0)
    source = PAGE["dags/watch_visits.py"].replace(
        'event_timestamp="at",', 'event_timestamp="at", domain_classifier=True,'
    )
    site.put({"dags/watch_visits.py": source})
    assert site.run("watch_visits").results["drift"]["batches"][0]["domain_auc"] > 0.8

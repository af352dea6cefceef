"""The wide online store: old never replaces new, all or nothing, two processes at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.steps.feast_sqlite import OnlineTable, connect, store_id

TABLE = OnlineTable("p", "v", ("k", "n"), ("f", "g"))


@pytest.fixture
def con(tmp_path):
    with closing(connect(tmp_path / "_features" / "online.db")) as con:
        TABLE.create(con)
        yield con


def test_older_rows_leave_newer_ones_and_are_not_counted(con):
    assert TABLE.write(con, [[("a", 1, 0.1, "x", 10), ("b", 1, 0.2, None, 10)]]) == 2
    assert TABLE.write(con, [[("a", 1, 0.9, "old", 9), ("b", 1, 0.3, "same moment", 10)]]) == 1
    assert TABLE.read(con, [("a", 1), ("b", 1), ("a", 2)]) == {
        ("a", 1): (0.1, "x", 10),
        ("b", 1): (0.3, "same moment", 10),
    }


def test_a_fault_writes_nothing(con):
    def chunks():
        yield [("a", 1, 0.1, "x", 10)]
        raise RuntimeError("the table's reader died")

    with pytest.raises(RuntimeError, match="reader died"):
        TABLE.write(con, chunks())
    assert TABLE.read(con, [("a", 1)]) == {}
    assert TABLE.write(con, [[("a", 1, 0.1, "x", 10)]]) == 1


def test_a_new_feature_is_a_new_column(con):
    TABLE.write(con, [[("a", 1, 0.1, "x", 10)]])
    wider = OnlineTable("p", "v", ("k", "n"), ("f", "g", 'h"; drop'))
    wider.create(con)
    wider.create(con)
    assert wider.read(con, [("a", 1)]) == {("a", 1): (0.1, "x", None, 10)}


def test_many_entities_are_read_by_the_key(con):
    TABLE.write(con, [[(f"k{n}", n, float(n), None, 1) for n in range(1_200)]])
    asked = [(f"k{n}", n) for n in range(1_300)]
    assert len(TABLE.read(con, asked)) == 1_200
    seen: list[str] = []
    con.set_trace_callback(seen.append)
    TABLE.read(con, [("k1", 1), ("k2", 2)])
    con.set_trace_callback(None)
    (query,) = seen
    plan = [row[3] for row in con.execute(f"explain query plan {query}")]
    assert "SEARCH t USING PRIMARY KEY (k=? AND n=?)" in plan


def test_store_has_one_name_for_life(con, tmp_path):
    assert store_id(con) == store_id(con)
    with closing(connect(tmp_path / "other.db")) as other:
        assert store_id(other) != store_id(con)


def test_two_processes_lose_no_row(con, tmp_path):
    script = """
import sys
from airflow_mlops_provider.steps.feast_sqlite import OnlineTable, connect
con, table, me = connect(sys.argv[1]), OnlineTable("p", "v", ("k", "n"), ("f", "g")), sys.argv[2]
for turn in range(20):
    table.create(con)
    table.write(con, [[(me, n, 1.0, me, turn)] for n in range(50)])
"""
    file = str(tmp_path / "_features" / "online.db")
    children = [subprocess.Popen([sys.executable, "-c", script, file, name]) for name in ("x", "y")]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert len(TABLE.read(con, [(name, n) for name in ("x", "y") for n in range(50)])) == 100


rows = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows)
def test_whatever_the_order_the_newest_stands(rows):
    with closing(connect(":memory:")) as con:
        table = OnlineTable("p", "v", ("k",), ("f",))
        table.create(con)
        for number, (key, event) in enumerate(rows):
            table.write(con, [[(key, number, event)]])
        for key in {key for key, _ in rows}:
            newest = max((event, number) for number, (k, event) in enumerate(rows) if k == key)
            assert table.read(con, [(key,)]) == {(key,): (newest[1], newest[0])}

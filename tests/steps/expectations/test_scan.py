"""What leaves for quarantine, what only counts, and what refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.steps.expectations import load_suite
from airflow_mlops_provider.steps.expectations.scan import FAILED, Scan, scan

pytestmark = pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*:DeprecationWarning")


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """Return a function that scans columns and returns the findings and the failing rows with their reasons."""

    def ask(columns: dict[str, list[Any]], *claims: dict[str, Any]) -> tuple[Scan, dict[int, list[str]]]:
        path = tmp_path / "suite.json"
        path.write_text(json.dumps({"name": "s", "expectations": list(claims)}))
        table = pa.table(columns)
        with duckdb.connect() as con:
            con.register("t", table.append_column("_row_number", pa.array(range(table.num_rows), pa.int64())))
            backend = ibis.duckdb.from_connection(con)
            found = scan(backend, backend.table("t"), load_suite(path).expectations, {})
            rows = con.sql(f"from {FAILED}").fetchall() if found.quarantined else []
        return found, dict(rows)

    return ask


def between(column: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    kwargs = {"column": column, "min_value": low, "max_value": high, **more.pop("kwargs", {})}
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": kwargs,
        "description": f"{column} {low}-{high}",
        **more,
    }


def unique(*columns: str, **more: Any) -> dict[str, Any]:
    one = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": columns[0]}}
    many = {"type": "expect_compound_columns_to_be_unique", "kwargs": {"column_list": list(columns)}}
    return {**(one if len(columns) == 1 else many), "description": "twice", **more}


def test_a_row_with_several_reasons_is_one_row(ask: Any) -> None:
    found, rows = ask({"a": [1, 9], "b": [1, 9]}, between("a", 0, 5), between("b", 0, 5))
    assert (found.quarantined, rows) == (1, {1: ["a 0-5", "b 0-5"]})
    assert found.reasons == {"a 0-5": 1, "b 0-5": 1}


def test_warnings_and_infos_only_count(ask: Any) -> None:
    found, rows = ask({"a": [1, 9]}, between("a", 0, 5, severity="warning"), between("a", 0, 4, severity="info"))
    assert (found.quarantined, rows, found.broken) == (0, {}, ())
    assert [(r.success, r.unexpected) for r in found.results] == [(False, 1), (False, 1)]


def test_rows_leave_also_when_mostly_is_met(ask: Any) -> None:
    found, rows = ask({"a": [1, 2, 3, 9]}, between("a", 0, 5, kwargs={"mostly": 0.7}))
    assert found.results[0].success
    assert (set(rows), found.broken) == ({3}, ())


def test_a_stated_mostly_that_is_missed_refuses_and_an_unstated_one_does_not(ask: Any) -> None:
    stated, _ = ask({"a": [1, 2, 9, 9]}, between("a", 0, 5, kwargs={"mostly": 0.7}))
    unstated, _ = ask({"a": [1, 2, 9, 9]}, between("a", 0, 5))
    assert stated.broken == ("a 0-5: 2 of 4 rows, mostly 0.7 asked",)
    assert unstated.broken == ()


def test_a_critical_figure_refuses_and_a_warning_one_does_not(ask: Any) -> None:
    claim = {
        "type": "expect_column_mean_to_be_between",
        "kwargs": {"column": "a", "max_value": 1},
        "description": "mean",
    }
    found, rows = ask({"a": [1, 3]}, claim, {**claim, "severity": "warning"})
    assert found.broken == ("mean: observed 2.0, expected <= 1",)
    assert rows == {}


def test_a_claim_on_a_missing_column_or_another_kind_refuses(ask: Any) -> None:
    found, _ = ask({"s": ["a"]}, between("z", 0, 1), between("s", 0, 1), between("z", 0, 1, severity="warning"))
    assert found.broken == (
        "z 0-1: the table has no column 'z'",
        "s 0-1: s holds string, which has no bounds",
    )


def test_of_duplicates_the_first_stays(ask: Any) -> None:
    found, rows = ask({"k": ["x", "y", "x", "x", None, None]}, unique("k"))
    assert set(rows) == {2, 3}
    assert found.results[0].unexpected == 3


def test_of_duplicates_the_first_that_breaks_nothing_else_stays(ask: Any) -> None:
    _, rows = ask({"k": ["x", "x", "x"], "a": [9, 1, 1]}, unique("k"), between("a", 0, 5))
    assert rows == {0: ["twice", "a 0-5"], 2: ["twice"]}


def test_nulls_are_part_of_a_compound_key(ask: Any) -> None:
    _, rows = ask({"k": ["x", "x", None, None], "l": [None, None, None, None]}, unique("k", "l"))
    assert set(rows) == {1}


def test_nan_is_missing(ask: Any) -> None:
    null = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}, "description": "missing"}
    _, rows = ask({"a": [1.0, math.nan, None]}, null, between("a", 0, 5))
    assert rows == {1: ["missing"], 2: ["missing"]}


def test_an_empty_table_and_an_empty_suite_hold(ask: Any) -> None:
    empty = {"a": pa.array([], pa.float64())}
    assert ask(empty, between("a", 0, 1), unique("a"))[0].broken == ()
    assert ask({"a": [1]})[0] == Scan(rows=1, quarantined=0, reasons={}, results=(), broken=())


ROWS = st.lists(st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 9)), min_size=1, max_size=10)


@given(rows=ROWS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_stays_meets_every_critical_claim_and_no_key_is_lost(ask: Any, rows: list[Any]) -> None:
    columns = {"k": pa.array([k for k, _ in rows], pa.int64()), "a": pa.array([a for _, a in rows], pa.int64())}
    found, failed = ask(columns, unique("k"), between("a", 0, 5))
    stay = [row for n, row in enumerate(rows) if n not in failed]
    keys = [k for k, _ in stay if k is not None]
    assert len(keys) == len(set(keys))
    assert all(a is None or a <= 5 for _, a in stay)
    assert set(keys) == {k for k, a in rows if k is not None and (a is None or a <= 5)}
    assert found.quarantined == len(failed) == len(rows) - len(stay)

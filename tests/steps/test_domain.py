"""A classifier tells current rows from those of the reference where something joint has changed."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.monitor import DriftSpec
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.domain import domain_auc
from airflow_mlops_provider.steps.drift import drift


def rows(seed: int, *, correlation: float = 0.8, days: int = 10, first: int = 0, count: int = 500) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    at = np.datetime64("2013-01-01", "us") + (first + rng.integers(0, days, count)) * np.timedelta64(1, "D")
    return pa.table(
        {
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "x": x,
            "y": correlation * x + np.sqrt(1 - correlation**2) * rng.normal(size=count),
            "c": rng.choice(["a", "b"], count),
        }
    )


def auc(then: pa.Table, now: pa.Table, columns: tuple[str, ...] = ("x", "y", "c"), **options: Any) -> float:
    with duckdb.connect() as con:
        con.register("then_rows", then)
        con.register("now_rows", now)
        given = {"timestamp": "at", "timezone": "America/New_York", **options}
        return domain_auc(con, "then_rows", "now_rows", columns, **given)


@pytest.mark.parametrize("timestamp", ["at", None])
def test_a_turned_correlation_is_seen_and_equal_tables_are_not_told_apart(timestamp: str | None) -> None:
    now = rows(1, correlation=-0.8, first=10)
    assert auc(rows(0), now, timestamp=timestamp) > 0.8
    assert auc(rows(0), rows(1, first=10), timestamp=timestamp) == pytest.approx(0.5, abs=0.06)


def test_rows_of_a_day_are_not_learnt() -> None:
    # A number that each day has for itself tells the rows apart only if their day was seen.
    then, now = rows(0, days=20), rows(1, days=20, first=20)
    own = [pa.array(np.random.default_rng(5).normal(size=60)).take(_day(table)) for table in (then, now)]
    then, now = then.append_column("own", own[0]), now.append_column("own", own[1])
    assert auc(then, now, ("own",), timestamp=None) > 0.95
    assert auc(then, now, ("own",)) < 0.7


def _day(table: pa.Table) -> pa.Array:
    return pa.array((table["at"].to_numpy().astype("datetime64[D]") - np.datetime64("2013-01-01")).astype(int))


def test_one_day_is_told_by_rows() -> None:
    assert auc(rows(0), rows(1, days=1, first=10)) == pytest.approx(0.5, abs=0.06)


def test_what_cannot_be_classified_is_refused() -> None:
    with pytest.raises(DataError, match=r"^a classifier needs 10 rows a side: 500 and 9 given"):
        auc(rows(0), rows(1, count=9))
    with pytest.raises(DataError, match=r"no column for a classifier among at: dates are left out"):
        auc(rows(0), rows(1), ("at",))


def test_a_profile_has_no_rows_to_classify() -> None:
    spec = DriftSpec(pipeline="shop", lake="lake", model="churn", dataset="visits", domain_classifier=True)
    with pytest.raises(
        ConfigError, match=r"^domain_classifier needs the rows of both sides: give current and reference$"
    ):
        drift(spec, StepContext("run", {}))

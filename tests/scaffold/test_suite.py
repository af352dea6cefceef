"""A suggested suite holds of the data that suggested it and of tomorrow's, and not of what is broken."""

import json
from datetime import time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.validate import Checks, ValidateSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.columns import columns_of
from airflow_mlops_provider.scaffold.suite import suggested, suggested_from
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.validate import validate


def verdict(folder, suite, table, max_failed=0.0):
    (folder / "suite.json").write_text(json.dumps(suite))
    pq.write_table(table, folder / "judged.parquet")
    checks = Checks(
        expectation_suite="suite.json", max_failed=max_failed, dataset=DatasetRef(kind="parquet", name="judged.parquet")
    )
    spec = ValidateSpec(pipeline="p", lake=str(folder / "lake"), bundle=str(folder), datasets={"t": checks})
    return validate(spec, StepContext("try")).datasets["t"]


def table(rows=1000, seed=0, shift=0.0):
    draw = np.random.default_rng(seed)
    at = np.datetime64("2025-01-01") + draw.integers(0, 90, rows).astype("timedelta64[D]")
    return pa.table(
        {
            "id": np.arange(rows) + rows * seed,
            "at": pa.array(at.astype("datetime64[us]")),
            "age": draw.integers(18, 80, rows),
            "spend": draw.gamma(2, 20, rows) + shift,
            "plan": draw.choice(["a", "b", "c"], rows),
            "note": pa.array([f"n{i}" if draw.random() < 0.5 else None for i in range(rows)]),
        }
    )


@pytest.fixture
def suite(tmp_path):
    pq.write_table(table(), tmp_path / "given.parquet")
    return suggested_from(tmp_path / "given.parquet")


def test_the_data_themselves_and_tomorrows_pass(tmp_path, suite):
    assert verdict(tmp_path, suite, table()).quarantined == 0
    for seed in range(1, 4):
        found = verdict(tmp_path, suite, table(seed=seed), max_failed=0.01)
        assert (found.verdict, found.quarantined) == ("pass", 0)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (table().drop_columns(["spend"]), "columns"),
        (table().slice(0, 0), "rows of the batch"),
        (table().set_column(2, "age", pa.nulls(1000, pa.int64())), "age is mostly missing"),
        (table(shift=10_000.0), "spend far outside what was seen"),
        (table().set_column(0, "id", pa.array([7] * 1000)), "id twice"),
        (table().set_column(0, "id", pa.nulls(1000, pa.int64())), "id is missing"),
    ],
    ids=["a column is gone", "no row", "a column is empty", "another unit", "one id", "no id"],
)
def test_what_is_broken_is_refused(tmp_path, suite, broken, why):
    found = verdict(tmp_path, suite, broken, max_failed=0.05)
    assert found.verdict == "refused"
    assert why in {*found.reasons, *(line.partition(":")[0] for line in found.refused_because)} | {
        each.expectation for each in found.expectations if not each.success
    }


def test_a_new_value_is_told_and_passes(tmp_path, suite):
    found = verdict(tmp_path, suite, table().set_column(4, "plan", pa.array(["new"] * 1000)))
    assert (found.verdict, found.quarantined) == ("pass", 0)
    assert [(e.column, e.unexpected) for e in found.expectations if not e.success] == [("plan", 1000)]


def test_every_claim_has_its_evidence(suite):
    assert all(claim["meta"]["notes"] for claim in suite["expectations"])
    (spend,) = [
        c for c in suite["expectations"] if c["kwargs"].get("column") == "spend" and "min_value" in c["kwargs"]
    ][1:]
    assert spend["kwargs"]["min_value"] == 0
    assert "in 1,000 rows, widened by that width" in spend["meta"]["notes"]


def test_shares_are_those_of_the_poorest_batch(con, columns):
    rows = [f"{i},{'x' if i >= 50 or i % 2 else ''},{i // 50}" for i in range(100)]
    columns("n,c,batch\n" + "\n".join(rows) + "\n")
    found = suggested(con, "t", columns_of(con), (), by_batch="batch")
    (claim,) = [c for c in found["expectations"] if c["kwargs"].get("column") == "c" and "proportion" in c["type"]]
    assert claim["kwargs"]["min_value"] == 0.25
    assert claim["meta"]["notes"] == "half of what was seen: 50.0% in the poorest batch have a value"
    assert "row_count" in found["expectations"][0]["type"]
    assert not any(
        "row_count" in c["type"] for c in suggested(con, "t", columns_of(con), (), gaps=True)["expectations"]
    )


VALUES = st.one_of(
    st.none(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False, width=32)
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(VALUES, st.sampled_from(["a", "b", None])), min_size=1, max_size=30))
def test_any_data_pass_their_own_suite(tmp_path, rows):
    numbers = pa.array([None if v is None else float(v) for v, _ in rows], pa.float64())
    given_table = pa.table({"n": numbers, "t": pa.array([t for _, t in rows], pa.string())})
    pq.write_table(given_table, tmp_path / "given.parquet")
    found = verdict(tmp_path, suggested_from(tmp_path / "given.parquet"), given_table)
    assert (found.verdict, found.quarantined) == ("pass", 0)


@pytest.mark.parametrize("form", ["{}", "{}.5", "{}e3"])
def test_a_narrow_range_far_from_zero_holds_its_values(con, columns, form):
    values = [1_000_002_000 + 10 * n for n in range(91)]
    columns("n,c\n" + "".join(f"{form.format(n)},1\n" for n in values))
    (n, *_) = known = columns_of(con)
    found = suggested(con, "t", known, ())["expectations"]
    (claim,) = [c for c in found if c["kwargs"].get("column") == "n" and "max_value" in c["kwargs"]]
    width = n.high - n.low
    assert claim["kwargs"]["min_value"] == pytest.approx(n.low - width if n.low < 0 else 0, abs=width / 100)
    assert claim["kwargs"]["max_value"] == pytest.approx(n.high + width, abs=width / 100)


@pytest.mark.parametrize("odd", [float("inf"), float("-inf"), float("nan"), 1.7e308])
def test_what_no_json_can_say_is_not_claimed(tmp_path, init, odd):
    pq.write_table(pa.table({"n": [1.0, 2.0, -odd, odd]}), tmp_path / "t.parquet")
    status, out, _ = init("suite", "suggest", "t.parquet")
    assert status == 0
    claims = json.loads(out, parse_constant=pytest.fail)["expectations"]
    assert not [claim for claim in claims if "max_value" in claim["kwargs"]]


def test_columns_of_any_type_of_parquet(tmp_path, init):
    odd = {
        "at": pa.array([time(n % 3) for n in range(60)]),
        "pair": [{"a": n % 2} for n in range(60)],
        "bytes": [b"\xff" for _ in range(60)],
        "list": [[n % 2] for n in range(60)],
        "price": pa.array([Decimal(n) for n in range(60)], pa.decimal128(9, 2)),
    }
    pq.write_table(pa.table(odd), tmp_path / "odd.parquet")
    status, out, _ = init("suite", "suggest", "odd.parquet")
    assert status == 0
    assert not [claim for claim in json.loads(out)["expectations"] if "value_set" in claim["kwargs"]]


def test_what_suggests_nothing(tmp_path):
    with pytest.raises(DataError, match="no file"):
        suggested_from(tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match="is not readable as Parquet"):
        suggested_from(tmp_path / "x.parquet")
    pq.write_table(table().slice(0, 0), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="has no row"):
        suggested_from(tmp_path / "x.parquet")


def test_the_command_prints_it(init, tmp_path):
    (tmp_path / "t.csv").write_text("id,x\n1,a\n2,b\n")
    status, out, _ = init("suite", "suggest", "t.csv")
    assert status == 0
    assert json.loads(out)["name"] == "t"
    assert init("suite", "suggest", "u.csv")[::2] == (1, "no file 'u.csv'\n")

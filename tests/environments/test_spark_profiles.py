"""A profile counted in Spark is the one counted in DuckDB."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.environments.conftest import with_wheel
from tests.environments.make_env import run

pytestmark = [pytest.mark.environment, pytest.mark.slow]

ROWS = 3000
ROUNDED = {"sums", "mean", "std"}


def table(seed, shift=0.0):
    rng = np.random.default_rng(seed)
    # Across the night in which New York's clocks go forward.
    at = np.datetime64("2013-03-08T00:00:00", "us") + rng.integers(0, 5 * 86_400_000_000, ROWS)

    def holes(values, kind=None):
        return pa.array(values, kind, mask=rng.random(ROWS) < 0.05)

    number = rng.normal(shift, 1, ROWS)
    number[:9] = [math.nan, math.inf, -math.inf] * 3
    return pa.table(
        {
            "at": holes(at, pa.timestamp("us", "UTC")),
            "number": holes(number),
            "whole": holes(rng.integers(-3, 50, ROWS)),
            "single": holes(rng.lognormal(3, 2, ROWS).astype(np.float32)),
            "money": holes([Decimal(int(v)) / 100 for v in rng.integers(0, 10**6, ROWS)], pa.decimal128(12, 2)),
            "constant": np.full(ROWS, 7.5),
            "nothing": pa.nulls(ROWS, pa.float64()),
            "flag": holes(rng.random(ROWS) < 0.3),
            "text": holes(rng.choice(["a", "b", "Zürich", "it's", "back\\slash", "", '"'][seed:], ROWS)),
            "many": holes([f"k{v}" for v in rng.zipf(1.2, ROWS).clip(0, 10**6)]),
            "day": holes(at.astype("datetime64[D]"), pa.date32()),
            "local": holes(at - rng.integers(0, 10**12, ROWS), pa.timestamp("us")),
            "zoned": holes(at - rng.integers(0, 10**12, ROWS), pa.timestamp("us", "UTC")),
            "odd name`.": holes(rng.normal(size=ROWS)),
        }
    )


@pytest.fixture(scope="module")
def profiles(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("profiles")
    current = table(1, shift=0.5)
    # A column that is gone, one that was retyped, one that is new.
    current = current.drop_columns(["whole", "single"])
    current = current.append_column("single", pa.array(["x", "y", None] * (ROWS // 3)))
    current = current.append_column("fresh", pa.array(np.arange(ROWS) % 17))
    files = {"reference": table(0), "current": current}
    for name, rows in files.items():
        pq.write_table(rows, folder / f"{name}.parquet")
    script = Path(__file__).with_name("spark_profiles.py")
    printed = run(with_wheel("spark", wheel), script, *(folder / f"{name}.parquet" for name in files))
    return json.loads(printed.splitlines()[-1])


@pytest.mark.parametrize("which", [0, 1], ids=["build_profile", "profile_like"])
def test_spark_agrees(profiles, which):
    found, expected = profiles["spark"][which], profiles["duckdb"][which]
    assert [c["name"] for c in found["columns"]] == [c["name"] for c in expected["columns"]]
    assert without(found, {"columns"}) == without(expected, {"columns"})
    for one, other in zip(found["columns"], expected["columns"], strict=True):
        assert without(one, ROUNDED) == without(other, ROUNDED)
        assert one["sums"] == pytest.approx(other["sums"], rel=1e-12, abs=1e-9)
        for name in ("mean", "std"):
            assert one[name] == (other[name] and pytest.approx(other[name], rel=1e-12)), one["name"]


def test_edges_of_a_sample_share_the_rows_in_either_engine(profiles):
    for engine in ("duckdb", "spark"):
        (column,) = profiles[engine][2]["columns"]
        assert len(column["counts"]) == 5
        assert max(column["counts"]) < 2 * min(column["counts"])
    # Of all rows the edges would be the same.
    edges = [profiles[engine][2]["columns"][0]["edges"] for engine in ("duckdb", "spark")]
    assert edges[0] != edges[1]


def test_what_was_compared_has_every_kind_of_column(profiles):
    first, second, _ = profiles["duckdb"]
    assert first["rows"] == ROWS
    assert len(first["block_ids"]) == 6  # the UTC days' first hours are the evening before in New York
    assert {c["kind"] for c in first["columns"]} == {"numeric", "datetime", "categorical"}
    assert {"single", "fresh"} <= {c["name"] for c in second["columns"]}
    levels = {c["name"]: c["levels"] for c in first["columns"]}
    assert levels["many"][-1] == "<rest>" or len(levels["many"]) < 1000


def without(found, names):
    return {key: value for key, value in found.items() if key not in names}

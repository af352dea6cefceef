"""The profiles of parts add up to the profile of the whole."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.profile import Profile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.profile import build_profile, profile_like
from airflow_mlops_provider.steps.profile_merge import merge

WHEN = {"timestamp": "at", "timezone": "UTC"}
ROUNDED = {"sums", "mean", "std"}


def table(rows: int, seed: int, hours: int = 72) -> pa.Table:
    rng = np.random.default_rng(seed)
    at = np.datetime64("2013-01-01T00:00:00", "us") + rng.integers(0, hours, rows) * np.timedelta64(1, "h")
    number = rng.lognormal(20, 3, rows)
    return pa.table(
        {
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "number": pa.array(number, mask=rng.random(rows) < 0.1),
            "code": rng.choice(list("abcdefg")[: 4 + seed % 4], rows),
            "flag": rng.random(rows) < 0.5,
            "booked": pa.array(at - rng.integers(0, 10**6, rows), pa.timestamp("us", "UTC")),
        }
    )


def columns(profile: Profile, leave: set[str]) -> list[dict[str, Any]]:
    return [column.model_dump(exclude=leave) for column in profile.columns]


def assert_equal(found: Profile, expected: Profile) -> None:
    assert found.model_dump(exclude={"columns"}) == expected.model_dump(exclude={"columns"})
    assert columns(found, ROUNDED) == columns(expected, ROUNDED)
    for one, other in zip(found.columns, expected.columns, strict=True):
        assert one.sums == pytest.approx(other.sums, rel=1e-12)
        if other.mean is None:
            assert (one.mean, one.std) == (None, None)
        else:
            assert one.mean == pytest.approx(other.mean, rel=1e-12)
            assert one.std == pytest.approx(other.std, rel=1e-9)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 3), st.booleans())
def test_parts_add_up_to_one_scan_in_any_order(seed: int, parts: int, grouped: bool) -> None:
    rows, rng = table(300, seed), np.random.default_rng(seed)
    place = rng.integers(0, parts, 300)
    with duckdb.connect() as con:
        con.register("reference", table(200, seed + 3))
        reference = build_profile(con, "reference", rows.column_names[1:], **WHEN)
        con.register("whole", rows)
        whole = profile_like(con, "whole", reference, **WHEN)
        found = []
        for part in rng.permutation(parts + 1):  # the last of them has no row
            con.register("part", rows.filter(pa.array(place == part)))
            found.append(profile_like(con, "part", reference, **WHEN))
    assert_equal(merge([merge(found[:2]), *found[2:]] if grouped else found), whole)


def test_a_reference_is_built_on_its_first_part() -> None:
    first, second = table(300, 3), table(200, 3)
    names = first.column_names[1:]
    with duckdb.connect() as con:
        con.register("first", first)
        con.register("second", second)
        con.execute("create view both_parts as select * from first union all select * from second")
        one = build_profile(con, "first", names, **WHEN)
        other = profile_like(con, "second", one, **WHEN)
        assert_equal(merge([one, other]), profile_like(con, "both_parts", one, **WHEN))


def test_a_small_spread_far_from_0_does_not_cancel() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=1000)
    with duckdb.connect() as con:
        parts = []
        for part in (values[:300], values[300:]):
            con.register("part", pa.table({"x": part}))
            like = (con, "part", parts[0]) if parts else (con, "part", ["x"])
            parts.append((profile_like if parts else build_profile)(*like, timestamp=None, timezone="UTC"))
    assert merge(parts).columns[0].std == pytest.approx(values.std(), rel=1e-6)


def profile(**fields: Any) -> Profile:
    column = {"name": "x", "kind": "categorical", "counts": (1,), "levels": ("a",), **fields}
    return Profile.model_validate({"rows": 1, "columns": [column]})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "^no profile to merge"),
        ([profile(), profile(name="y")], "not all have x, y$"),
        ([profile(), profile(levels=("b",))], "^x: the parts are not counted in the same bins"),
        ([profile(), profile(levels=("a", "b", "c"), counts=(1, 0, 0))], "^x: the parts"),
        ([profile(), profile(kind="numeric", levels=(), sums=(1.0,))], "^x: the parts"),
        ([profile(kind="numeric", levels=(), edges=(e,), counts=(1, 0), sums=(1, 0)) for e in (1.0, 2.0)], "^x: the"),
    ],
)
def test_what_does_not_add_up_is_refused(parts: list[Profile], message: str) -> None:
    with pytest.raises(DataError, match=message):
        merge(parts)

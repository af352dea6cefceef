"""What a person looks at: shares in the reference's own places, nulls last."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.profile import ColumnProfile
from airflow_mlops_provider.steps.profile import build_profile, profile_like
from airflow_mlops_provider.steps.shares import shares


def both(then: list, now: list):
    with duckdb.connect() as con:
        con.register("then", pa.table({"x": then}))
        con.register("now", pa.table({"x": pa.array(now, pa.table({"x": then})["x"].type)}))
        reference = build_profile(con, "then", ["x"], timestamp=None, timezone="UTC", bins=2)
        current = profile_like(con, "now", reference, timestamp=None, timezone="UTC")
    return shares(reference.columns[0], current.columns[0])


def test_numbers_are_told_by_bins():
    found = both([1.0, 2.0, 3.0, 4.0], [4.0, 4.0, None, 1.0])
    assert found.places == ("to 2", "over 2", "null")
    assert (found.reference, found.current) == ((0.5, 0.5, 0.0), (0.25, 0.5, 0.25))


def test_a_new_level_has_a_place():
    found = both(["a", "a", "b", None], ["a", "c", "c", "c"])
    assert found.places == ("a", "b", "<new>", "null")
    assert found.reference == (0.5, 0.25, 0.0, 0.25)
    assert found.current == (0.25, 0.0, 0.75, 0.0)


def test_of_many_levels_the_most_frequent_of_either_side_are_shown():
    then = [f"l{i:02}" for i in range(30) for _ in range(30 - i)]
    found = both(then, ["l29"] * 100)
    assert len(found.places) == 22
    assert {"l00", "l29", "others", "null"} <= set(found.places)
    assert found.current[found.places.index("l29")] == 1.0
    assert sum(found.reference) == pytest.approx(1.0, abs=1e-4)


def test_long_texts_are_cut_and_dates_of_any_year_are_told():
    found = both(["x" * 500, "b"], ["b", "b"])
    assert max(map(len, found.places)) == 40
    far = ColumnProfile(name="x", kind="datetime", edges=(0.0, 4e11), counts=(1, 1, 1))
    assert shares(far, far).places == ("to 1970-01-01 00:00", "1970-01-01 00:00 to 4e+11", "over 4e+11", "null")

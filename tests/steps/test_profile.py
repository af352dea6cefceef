from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import profile_scan as module
from airflow_mlops_provider.steps.profile import NEW, REST, build_profile, profile_like

NEW_YORK = "America/New_York"
numbers = st.one_of(st.none(), st.floats(width=32), st.integers(-3, 3).map(float))


def of(columns: dict[str, Any], *, names: list[str] | None = None, at: str | None = None, **options: Any) -> Profile:
    with connection(columns) as con:
        wanted = names or [name for name in columns if name != at]
        return build_profile(con, "rows", wanted, timestamp=at, timezone=NEW_YORK, **options)


def like(columns: dict[str, Any], reference: Profile, at: str | None = None, also: tuple[str, ...] = ()) -> Profile:
    with connection(columns) as con:
        return profile_like(con, "rows", reference, timestamp=at, timezone=NEW_YORK, columns=also)


def connection(columns: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.register("rows", pa.table(columns))
    return con


def only(profile: Profile) -> ColumnProfile:
    (column,) = profile.columns
    return column


def noon(day: int) -> datetime:
    return datetime(2013, 1, day, 17, tzinfo=UTC)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=200), st.integers(1, 20))
def test_counts_and_sums_are_those_of_the_values_in_the_bins(values: list[float | None], bins: int) -> None:
    column = only(of({"x": pa.array(values, pa.float64())}, bins=bins))
    finite = np.array([v for v in values if v is not None and np.isfinite(v)])
    edges = np.array(column.edges)
    place = np.searchsorted(edges, finite, side="left")
    assert (np.diff(edges) > 0).all()
    assert list(column.counts) == np.bincount(place, minlength=len(edges) + 1).tolist()
    assert column.sums == pytest.approx(np.bincount(place, finite, minlength=len(edges) + 1).tolist(), rel=1e-9)
    assert column.nulls == len(values) - len(finite)
    if len(finite):
        found = (column.mean, column.std, column.minimum, column.maximum)
        assert found == pytest.approx((finite.mean(), finite.std(), finite.min(), finite.max()), rel=1e-6, abs=1e-6)


def test_bins_hold_equal_shares_where_values_differ() -> None:
    column = only(of({"x": np.random.default_rng(0).lognormal(size=2000)}))
    assert len(column.counts) == 20
    assert set(column.counts) == {100}


def test_few_values_get_a_bin_each_and_a_constant_one_to_either_side() -> None:
    assert only(of({"x": [1, 1, 2, 3] * 10})).counts == (20, 10, 10)
    constant = of({"x": [7] * 10})
    assert only(constant).counts == (0, 10, 0)
    assert only(like({"x": [6, 7, 8, 9]}, constant)).counts == (1, 1, 2)


def test_edges_are_values_that_occur() -> None:
    edges = only(of({"x": [21.86498] * 900 + [17.26182] * 50 + [30.0] * 50})).edges
    assert edges == (17.26182, 21.86498)


def test_blocks_are_local_days_and_nulls_come_last() -> None:
    # 03:30 UTC is the evening before in New York.
    at = [datetime(2013, 1, 2, 3, 30, tzinfo=UTC), noon(2), noon(2), noon(5), None]
    profile = of({"at": at, "x": [1.0, 5.0, None, 5.0, 1.0], "c": ["a", "b", "b", None, "a"]}, at="at", bins=2)
    assert (profile.block_ids, profile.start, profile.end) == (
        ("2013-01-01", "2013-01-02", "2013-01-05"),
        "2013-01-01",
        "2013-01-05",
    )
    x, c = profile.columns
    assert x.blocks == ((1, 0, 0), (0, 1, 1), (0, 1, 0))
    assert (x.counts, x.nulls) == ((2, 2), 1)
    assert (c.levels, c.blocks) == (("a", "b"), ((1, 0, 0), (0, 2, 0), (0, 0, 1)))
    assert (c.counts, c.nulls) == ((2, 2), 1)


def test_a_timestamp_without_a_zone_is_local_time() -> None:
    profile = of({"at": [datetime(2013, 1, 2, 3, 30)], "x": [1]}, at="at")  # noqa: DTZ001
    assert profile.block_ids == ("2013-01-02",)


def test_the_callers_connection_keeps_its_settings() -> None:
    with connection({"at": [noon(1)], "x": [1]}) as con:
        con.execute("set TimeZone = 'Asia/Tokyo'")
        assert build_profile(con, "rows", ["x"], timestamp="at", timezone=NEW_YORK).block_ids == ("2013-01-01",)
        assert con.sql("select current_setting('TimeZone')").fetchall() == [("Asia/Tokyo",)]


def sample(rows: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    days = [noon(1) + timedelta(minutes=int(m)) for m in rng.integers(0, 60 * 24 * 20, rows)]
    return pa.table({"at": days, "x": rng.normal(size=rows), "c": rng.choice(["a", "b", "c"], rows)})


@pytest.mark.parametrize("most", [200_000, 500], ids=["exact edges", "edges of a sample"])
def test_order_and_partition_of_the_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(module, "EDGE_ROWS", most)
    table = sample(5000)
    shuffled = table.take(np.random.default_rng(1).permutation(5000))
    with duckdb.connect() as con:
        con.register("rows", table)
        con.register("half", shuffled.slice(0, 2000))
        con.register("rest", shuffled.slice(2000))
        con.execute("create view parts as select * from rest union all select * from half")
        one, other = (build_profile(con, n, ["x", "c"], timestamp="at", timezone=NEW_YORK) for n in ("rows", "parts"))
    x, y = one.columns[0], other.columns[0]
    assert x.sums == pytest.approx(y.sums)
    figures = {"sums": (), "mean": None, "std": None}
    assert x.model_copy(update=figures) == y.model_copy(update=figures)
    assert one.columns[1] == other.columns[1]
    assert max(x.counts) < 3 * min(x.counts)


def test_a_relation_too_large_to_be_kept_has_the_same_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {name: sample(500)[name] for name in ("at", "x", "c")}
    kept = of(columns, at="at")
    monkeypatch.setattr(module, "_KEPT_VALUES", 100)
    assert of(columns, at="at").columns[1] == kept.columns[1]
    assert only(of({"x": columns["x"]})).counts == kept.columns[0].counts


def test_nothing_is_left_in_the_callers_connection() -> None:
    with connection({"x": [1.0, 2.0], "c": ["a", "b"]}) as con:
        build_profile(con, "rows", ["x", "c"], timestamp=None, timezone=NEW_YORK)
        assert con.sql(
            "select table_name from duckdb_tables() union select view_name from duckdb_views() where not internal"
        ).fetchall() == [("rows",)]


def test_levels_past_the_most_frequent_share_a_rest_and_ties_go_by_name() -> None:
    values = ["z"] * 3 + ["b", "a", "c"] + [None]
    column = only(of({"c": values}, max_levels=2))
    assert (column.levels, column.counts, column.nulls) == (("z", "a", REST), (3, 1, 2), 1)
    assert only(of({"c": values}, max_levels=4)).levels == ("z", "a", "b", "c")


def test_new_levels_fall_into_new_or_into_the_rest_that_was_there() -> None:
    values = {"c": ["a", "b", "b", "d", None]}
    assert only(like(values, of({"c": ["a", "b"]}))).levels == ("a", "b", NEW)
    assert only(like(values, of({"c": ["a", "b"]}))).counts == (1, 2, 1)
    rest = like(values, of({"c": ["a", "a", "b", "c"]}, max_levels=1))
    assert (only(rest).levels, only(rest).counts, only(rest).nulls) == (("a", REST), (1, 3), 1)


def test_booleans_are_categories_and_a_column_of_nulls_is_counted() -> None:
    assert only(of({"c": [True, True, False, None]})).levels == ("true", "false")
    for nulls in (pa.nulls(3, pa.string()), pa.nulls(3, pa.float64())):
        reference = of({"c": nulls})
        assert (sum(only(reference).counts), only(reference).nulls) == (0, 3)
    assert only(like({"c": [1.0, None]}, reference)).counts == (1,)
    assert only(like({"c": ["a", None]}, of({"c": pa.nulls(3, pa.string())}))).counts == (1,)


def test_current_data_is_counted_in_the_bins_of_the_reference() -> None:
    reference = of({"at": [noon(d) for d in range(1, 5)], "x": [1, 2, 3, 4]}, at="at", bins=2)
    current = like({"at": [noon(9), noon(9)], "x": [-5, 100]}, reference, at="at")
    assert only(current).edges == only(reference).edges == (2.0,)
    assert (only(current).counts, only(current).sums, current.rows) == ((1, 1), (-5.0, 100.0), 2)
    assert only(current).blocks == ((1, 1, 0),)


def test_missing_retyped_and_new_columns() -> None:
    reference = of({"gone": [1], "number": [1], "text": ["a"], "same": [1]})
    current = like(
        {"number": ["1"], "text": [1], "same": [2], "fresh": ["x"], "other": [1]}, reference, also=("fresh",)
    )
    assert {c.name: c.kind for c in current.columns} == {
        "same": "numeric",
        "number": "categorical",
        "text": "numeric",
        "fresh": "categorical",
    }


def test_no_row_is_refused_as_reference_and_counted_as_current() -> None:
    empty = {"x": pa.array([], pa.float64()), "c": pa.array([], pa.string())}
    with pytest.raises(DataError, match=r"^rows: no row to profile"):
        of(empty)
    current = like(empty, of({"x": [1.0, 2.0], "c": ["a", "b"], "t": ["a", "b"]}))
    assert (current.rows, [c.counts for c in current.columns]) == (0, [(0, 0), (0, 0, 0)])


@pytest.mark.parametrize(
    ("names", "at", "message"),
    [
        (["nope"], None, r"^rows: no column 'nope'; there are at, list, x$"),
        (["x"], "nope", r"no column 'nope'"),
        (["x"], "x", r"^rows\.x: a column of type int64 is no timestamp"),
        (["list"], None, r"^rows\.list: a column of type list<.* has no profile"),
    ],
)
def test_bad_columns_are_named(names: list[str], at: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        of({"at": [noon(1)], "x": [1], "list": [[1]]}, names=names, at=at)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (pa.array([0, 90, None], pa.timestamp("s", "UTC")), (0, 90)),
        (pa.array([0, 1500, None], pa.timestamp("ms")), (0, 1.5)),
        (pa.array([0, 2, None], pa.date32()), (0, 172_800)),
    ],
    ids=["timestamp", "local timestamp", "date"],
)
def test_dates_and_timestamps_are_seconds(values: pa.Array, seconds: tuple[float, float]) -> None:
    column = only(of({"t": values}))
    assert (column.kind, column.minimum, column.maximum, column.nulls) == ("datetime", *seconds, 1)
    assert sum(column.sums) == sum(seconds)
    later = pa.array([10**9], pa.timestamp("s", "UTC"))
    assert only(like({"t": later}, of({"t": values}))).counts[-1] == 1


@pytest.mark.parametrize("values", [[1e308, 1e308, -1e308], [1e200, 1.0]])
def test_values_too_large_for_a_spread_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match=r"^x: its values are too large"):
        of({"x": values})
    # A batch may hold such a value: it is compared by its counts.
    found = only(like({"x": values}, of({"x": [1.0, 2.0, 3.0]})))
    assert (found.std, sum(found.counts)) == (None, len(values))


@pytest.mark.parametrize("rows", [30, 300, 1250, 100_000])
def test_a_profile_of_100_columns_and_90_days_stays_small(rows: int) -> None:
    # The blocks of independent rows are the hardest to pack: all of it is chance.
    rng = np.random.default_rng(0)
    days = rng.multinomial(rows, [0.05] * 20, (100, 90))
    columns = tuple(
        ColumnProfile(
            name=f"x{i}",
            kind="numeric",
            counts=tuple(days[i].sum(axis=0).tolist()),
            edges=tuple(sorted(rng.normal(size=19))),
            sums=tuple(rng.normal(size=20)),
            mean=rng.normal(),
            std=rng.normal(),
            minimum=rng.normal(),
            maximum=rng.normal(),
            blocks=tuple((*row, 0) for row in days[i].tolist()),
        )
        for i in range(100)
    )
    profile = Profile(rows=rows * 90, columns=columns, block_ids=tuple(map(str, range(90))))
    text = profile.model_dump_json()
    assert len(text) < 200_000
    found = Profile.model_validate_json(text)
    blocks = {"columns": {"__all__": {"blocks"}}}
    assert found.model_dump(exclude=blocks) == profile.model_dump(exclude=blocks)
    error = np.array([c.blocks for c in found.columns]) - np.array([c.blocks for c in columns])
    assert np.abs(error).max() <= 1.1 * np.sqrt(rows / 20) / 4  # the places' own means differ a little

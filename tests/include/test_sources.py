"""The demo's data is what its documentation says: counts, local months, and incidents that hide or show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import ConfigError
from include import sources

ZONE = "America/New_York"
ROWS = [27004, 24951, 28834, 28330, 28796, 28243, 29425, 29327, 27574, 28889, 27268, 28135]
CANCELLED = [521, 1261, 861, 668, 563, 1009, 940, 486, 452, 236, 233, 1025]
WITHOUT_DELAY = [85, 79, 71, 98, 105, 159, 192, 85, 112, 35, 64, 90]


def months(first: int, last: int) -> Batch:
    start = datetime(2013, first, 1, tzinfo=ZoneInfo(ZONE))
    end = datetime(2013 + last // 12, last % 12 + 1, 1, tzinfo=ZoneInfo(ZONE))
    return Batch(id=start.date().isoformat(), start=start, end=end, timezone=ZONE)


def table(source: Callable[[Batch], Iterator[pa.RecordBatch]], batch: Batch) -> pa.Table:
    return pa.Table.from_batches(source(batch))


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(f"set timezone = '{ZONE}'")
        for source in (sources.flights, sources.weather, sources.arrivals):
            connection.register(source.__name__, table(source, months(1, 12)))
        yield connection


def counts(con: duckdb.DuckDBPyConnection, query: str) -> list[int]:
    return [row[0] for row in con.execute(query).fetchall()]


def test_each_month_has_its_flights_and_outcomes(con: duckdb.DuckDBPyConnection) -> None:
    monthly = "select count(*) {} from arrivals group by month(flight_date) order by month(flight_date)"
    assert counts(con, monthly.format("")) == ROWS
    assert counts(con, monthly.format("filter (cancelled)")) == CANCELLED
    assert counts(con, monthly.format("filter (not cancelled and arr_delay is null)")) == WITHOUT_DELAY
    assert counts(con, "select count(*) from weather") == [26115]


def test_references_are_whole() -> None:
    rows = [table(s, months(1, 1)).num_rows for s in (sources.planes, sources.airports, sources.airlines)]
    assert rows == [3322, 1458, 16]


def test_batches_are_cut_by_local_date(con: duckdb.DuckDBPyConnection) -> None:
    for view, moment in (("flights", "scheduled_at"), ("arrivals", "scheduled_at")):
        assert counts(con, f"select count(*) from {view} where {moment}::date <> flight_date") == [0]
    for month in (1, 3, 11):
        batch = months(month, month)
        for source, moment in ((sources.flights, "scheduled_at"), (sources.weather, "time_hour")):
            found = table(source, batch)[moment].to_pylist()
            assert batch.start <= min(found)
            assert max(found) < batch.end
    assert table(sources.flights, months(4, 4)).num_rows == ROWS[3]


def test_keys_are_unique(con: duckdb.DuckDBPyConnection) -> None:
    assert counts(con, "select count(distinct flight_id) from flights") == [sum(ROWS)]
    assert counts(con, "select count(distinct (origin, time_hour)) from weather") == [26115]
    assert counts(con, "select count(*) from flights join arrivals using (flight_id)") == [sum(ROWS)]


def test_the_schedule_says_nothing_of_what_happened(con: duckdb.DuckDBPyConnection) -> None:
    outcomes = {"cancelled", "arr_delay", "dep_time", "dep_delay", "arr_time", "air_time", "landed_at"}
    assert not outcomes & set(table(sources.flights, months(1, 1)).column_names)
    # the trap that the module warns of: a missing tail number is a cancelled flight
    query = "select count(*) from flights join arrivals using (flight_id) where tailnum is null and {}"
    assert counts(con, query.format("cancelled")) == [2512]
    assert counts(con, query.format("not cancelled")) == [0]


def test_flights_land_after_midnight_and_some_after_four(con: duckdb.DuckDBPyConnection) -> None:
    after = f"landed_at >= timezone('{ZONE}', flight_date + 1 + interval {{}} hour)"
    assert counts(con, f"select count(*) from arrivals where {after.format(0)}") == [26624]
    assert counts(con, f"select count(*) from arrivals where {after.format(4)}") == [1042]


def test_celsius_spoils_april_alone(con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT", "celsius")
    con.register("spoiled", table(sources.weather, months(1, 12)))
    changed = con.execute(
        "select distinct month(time_hour) from spoiled join weather using (origin, time_hour) "
        "where spoiled.temp <> weather.temp or spoiled.dewp <> weather.dewp"
    ).fetchall()
    assert changed == [(4,)]
    factor = "(spoiled.temp * 1.8 + 32 - weather.temp)"
    query = "select max(abs({})) < 1e-9 from spoiled join weather using (origin, time_hour) where month(time_hour) = 4"
    assert counts(con, query.format(factor)) == [True]
    share = counts(con, "select avg((dewp > temp)::int) from spoiled where month(time_hour) = 4")
    assert share == counts(con, "select avg((dewp > temp)::int) from weather where month(time_hour) = 4")


def test_labels_moves_each_april_outcome_to_another_flight_of_its_day(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INCIDENT", "labels")
    spoiled = table(sources.arrivals, months(3, 5))
    again = table(sources.arrivals, months(3, 5))
    monkeypatch.delenv("INCIDENT")
    clean = table(sources.arrivals, months(3, 5))
    assert spoiled.equals(again)
    assert spoiled.drop_columns("flight_id").equals(clean.drop_columns("flight_id"))
    pairs = list(zip(spoiled["flight_id"].to_pylist(), clean["flight_id"].to_pylist(), strict=True))
    assert sorted(s for s, _ in pairs) == sorted(c for _, c in pairs)
    assert all(s[:8] == c[:8] for s, c in pairs)
    assert {c[4:6] for s, c in pairs if s != c} == {"04"}
    assert not [c for s, c in pairs if s == c and c[4:6] == "04"]


def test_an_unknown_incident_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCIDENT", "kelvin")
    with pytest.raises(ConfigError, match="INCIDENT='kelvin' is not known: give one of temperature, celsius, carrier"):
        table(sources.weather, months(4, 4))


def test_a_batch_without_rows_has_columns() -> None:
    zone = ZoneInfo(ZONE)
    empty = Batch(
        id="2015", start=datetime(2015, 1, 1, tzinfo=zone), end=datetime(2015, 2, 1, tzinfo=zone), timezone=ZONE
    )
    assert table(sources.flights, empty).num_rows == 0
    assert table(sources.flights, empty).schema == table(sources.flights, months(1, 1)).schema

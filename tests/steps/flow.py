"""A small world for the steps that follow training: two months of rows, labels, and two models of known worth."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.train import TrainingDataset
from airflow_mlops_provider.steps.batches import BatchLedger

ZONE = ZoneInfo("America/New_York")
DATASET = TrainingDataset(
    entities="labels", target="late", event_timestamp="at", unique_key=("id",), columns=("size", "colour")
)


def batch(month: int) -> Batch:
    start = datetime(2013, month, 1, tzinfo=ZONE)
    end = datetime(2013, month + 1, 1, tzinfo=ZONE)
    return Batch(id=start.date().isoformat(), start=start, end=end, timezone=ZONE.key)


def rows(month: int, *, per_day: int = 40, slope: float = 2.0, seed: int = 0) -> pa.Table:
    """Rows of a month: `late` depends on `size` with the given slope, `colour` does not matter."""
    draw = np.random.default_rng([seed, month])
    when = batch(month)
    days = (when.end - when.start).days
    count = days * per_day
    size = draw.normal(size=count)
    late = draw.random(count) < 1 / (1 + np.exp(1 - slope * size))
    at = [when.start + timedelta(days=i // per_day, minutes=30 * (i % per_day)) for i in range(count)]
    return pa.table(
        {
            "id": [f"{month}-{i}" for i in range(count)],
            "at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "size": size,
            "colour": draw.choice(["red", "green"], count),
            "late": late,
            "_batch": [when.id] * count,
        }
    )


def add_month(lake, month: int, *, labels: bool = True, **kwargs) -> pa.Table:
    """Publish a month's rows as `entities`, and with their outcome as `labels`."""
    table = rows(month, **kwargs)
    names = {"entities": table.drop_columns(["late"])} | ({"labels": table} if labels else {})
    for name, data in names.items():
        version, _ = lake.write_once(name, data, app=f"{name}/{month}")
        BatchLedger(lake, name).accept(batch(month), version=version, rows=data.num_rows, run_key="test")
    return table

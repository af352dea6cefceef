"""SYNTHETIC sales of flats, for a try: no row is real. The same batch always gives the same rows.

Put a function in its place that reads yours: it is given a batch and yields Arrow tables or pandas frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch

SALES_A_DAY = 25
FIRST = date(2025, 1, 1)
# Price of a square metre where the trend begins.
DISTRICTS = {"centre": 5200.0, "harbour": 4700.0, "hill": 4100.0, "suburb": 3000.0}
# Per year; and how much more than the year's mean is paid in June.
TREND, SEASON = 0.06, 0.04


def sales(batch: Batch) -> Iterator[pa.Table]:
    """Yield the flats that were sold in the batch, each with its price."""
    first, end = batch.start.date(), batch.end.date()
    for number in range((end - first).days):
        yield _day(first + timedelta(days=number))


def _day(day: date) -> pa.Table:
    """Draw the sales of a day, by the day alone."""
    draw = np.random.default_rng(day.toordinal())
    count = SALES_A_DAY
    district = draw.choice([*DISTRICTS], count)
    area = np.round(draw.gamma(8.0, 9.0, count) + 20, 1)
    age = draw.integers(0, 100, count)
    floor = draw.integers(0, 9, count)
    years = (day - FIRST).days / 365.25
    level = (1 + TREND) ** years * (1 + SEASON * np.sin(2 * np.pi * (years - 0.2)))
    metre = np.array([DISTRICTS[one] for one in district]) * (1 - 0.002 * age) * (1 + 0.01 * floor)
    price = metre * area * level * draw.lognormal(0.0, 0.08, count)
    start = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
    sold = [start + timedelta(minutes=20 * number) for number in range(count)]
    return pa.table(
        {
            "sale": [f"{day:%Y%m%d}-{number:03d}" for number in range(count)],
            "sold_at": pa.array(sold, pa.timestamp("us", tz="UTC")),
            "district": district,
            "area_m2": area,
            "age_years": age,
            "floor": floor,
            "price": np.round(price, -2),
        }
    )

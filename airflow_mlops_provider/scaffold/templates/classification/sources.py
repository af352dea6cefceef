"""SYNTHETIC parcels, for a try: no row is real. The same batch always gives the same rows.

Put functions in their place that read yours: each is given a batch and yields Arrow tables or pandas frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch

PARCELS_A_DAY = 60
# The first parcels; no outcome is known of earlier ones.
FIRST = date(2025, 1, 1)
SERVICES = {"economy": 6.0, "standard": 4.0, "express": 2.0}
REGIONS = {"north": 1.6, "east": 1.0, "south": 0.8, "west": 1.1}


def parcels(batch: Batch) -> Iterator[pa.Table]:
    """Yield the parcels that were sent in the batch, as known when they left."""
    for day in _days(batch):
        yield _day(day, batch.timezone).drop_columns(["late", "arrived_at"])


def arrivals(batch: Batch) -> Iterator[pa.Table]:
    """Yield the parcels that arrived in the batch, with what was known when they left and whether they were late."""
    first = max(FIRST, _days(batch)[0] - timedelta(days=30))
    for number in range((_days(batch)[-1] - first).days + 1):
        table = _day(first + timedelta(days=number), batch.timezone)
        arrived = [batch.start <= moment < batch.end for moment in table.column("arrived_at").to_pylist()]
        yield table.filter(pa.array(arrived))


def _days(batch: Batch) -> list[date]:
    zone = ZoneInfo(batch.timezone)
    first, end = batch.start.astimezone(zone).date(), batch.end.astimezone(zone).date()
    return [first + timedelta(days=number) for number in range((end - first).days)]


def _day(day: date, timezone: str) -> pa.Table:
    """Draw the parcels of a day, by the day alone."""
    draw = np.random.default_rng(day.toordinal())
    count = PARCELS_A_DAY
    service = draw.choice([*SERVICES], count, p=[0.3, 0.5, 0.2])
    region = draw.choice([*REGIONS], count)
    weight = np.round(draw.gamma(2.0, 1.5, count), 2)
    distance = np.round(draw.uniform(5, 900, count), 1)
    days = np.array([SERVICES[one] for one in service])
    slow = np.array([REGIONS[one] for one in region]) * (1 + distance / 900) * (1.3 if day.month == 12 else 1.0)
    taken = draw.gamma(6.0, (0.7 * days * slow) / 6.0) + 0.3
    midnight = datetime.combine(day, time(), ZoneInfo(timezone))
    sent = [midnight + timedelta(minutes=int(minute)) for minute in np.sort(draw.integers(0, 24 * 60, count))]
    moments = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "parcel": [f"{day:%Y%m%d}-{number:03d}" for number in range(count)],
            "sent_at": pa.array(sent, moments),
            "service": service,
            "region": region,
            "weekday": [day.isoweekday()] * count,
            "weight_kg": weight,
            "distance_km": distance,
            "late": taken > days,
            "arrived_at": pa.array([s + timedelta(days=float(t)) for s, t in zip(sent, taken, strict=True)], moments),
        }
    )

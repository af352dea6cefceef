"""SYNTHETIC payments, for a try: no row is real. The same batch always gives the same rows.

Put functions in their place that read yours: each is given a batch and yields Arrow tables or pandas frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch

PAYMENTS_A_DAY = 400
# The first payments; no outcome is known of earlier ones.
FIRST = date(2025, 1, 1)
# A payment that nobody has disputed for so long is taken for good.
SETTLED_AFTER = timedelta(days=30)
CHANNELS = {"shop": 0.0, "web": 0.9, "app": 0.3}


def payments(batch: Batch) -> Iterator[pa.Table]:
    """Yield the payments of the batch, as known when they were made."""
    for day in _days(batch.start.date(), batch.end.date()):
        yield _day(day).drop_columns(["fraud"])


def outcomes(batch: Batch) -> Iterator[pa.Table]:
    """Yield the payments whose outcome was settled in the batch: those of 30 days before, with what was known then."""
    first = max(FIRST, batch.start.date() - SETTLED_AFTER)
    settled = [_day(day) for day in _days(first, batch.end.date() - SETTLED_AFTER)]
    # A batch without any still says its columns.
    yield from settled or [_day(FIRST).slice(0, 0)]


def _days(first: date, end: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((end - first).days)]


def _day(day: date) -> pa.Table:
    """Draw the payments of a day, by the day alone."""
    draw = np.random.default_rng(day.toordinal())
    count = PAYMENTS_A_DAY
    channel = draw.choice([*CHANNELS], count, p=[0.5, 0.3, 0.2])
    amount = np.round(draw.lognormal(3.5, 1.0, count), 2)
    hour = np.sort(draw.integers(0, 24, count))
    account_days = draw.integers(0, 2000, count)
    abroad = draw.random(count) < 0.08
    tries = draw.poisson(0.3, count)
    night = (hour < 6).astype(float)
    risk = np.array([CHANNELS[one] for one in channel])
    odds = -10.4 + risk + 0.9 * np.log(amount) + 2.5 * abroad + 1.6 * tries + 1.2 * night + 2.2 * (account_days < 30)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    paid = [start + timedelta(hours=int(h), seconds=9 * n) for n, h in enumerate(hour)]
    return pa.table(
        {
            "payment": [f"{day:%Y%m%d}-{number:04d}" for number in range(count)],
            "paid_at": pa.array(paid, pa.timestamp("us", tz="UTC")),
            "channel": channel,
            "amount": amount,
            "hour": hour,
            "account_days": account_days,
            "abroad": abroad,
            "tries_before": tries,
            "fraud": draw.random(count) < 1 / (1 + np.exp(-odds)),
        }
    )

"""A shop's visits of 2025: how long people stayed, which page they saw, and whether they bought."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.csv

ZONE = ZoneInfo("Europe/Berlin")
PER_DAY = 24


def month(number):
    """Return the local midnight at which a month of 2025 begins."""
    return datetime(2025, number, 1, tzinfo=ZONE)


def batch(number):
    return month(number).date().isoformat()


def rows(number):
    """From February people stay longer and buy more: a model of January is wrong, one of February stays right."""
    draw = np.random.default_rng(number)
    first, last = month(number), datetime(2025 + number // 12, number % 12 + 1, 1, tzinfo=ZONE)
    count = (last.date() - first.date()).days * PER_DAY
    later = number > 1
    minutes = draw.gamma(4.0, 4.0 if later else 2.0, size=count)
    bought = draw.random(count) < 1 / (1 + np.exp(-(0.3 * minutes - 3.0 + (3.0 if later else 0.0))))
    at = [first.astimezone(UTC) + timedelta(hours=24 // PER_DAY * i) for i in range(count)]
    return pa.table(
        {
            "visit": [f"{number}-{i}" for i in range(count)],
            "at": pa.array(at, pa.timestamp("s", tz="UTC")),
            "minutes": minutes.round(3),
            "page": draw.choice(["home", "sale"], count),
            "bought": bought,
        }
    )


def write(folder):
    """Write a file a month. Three rows of January and every one of April have a negative stay."""
    folder.mkdir()
    for number in range(1, 13):
        table = rows(number)
        minutes = table["minutes"].to_numpy().copy()
        minutes[: {1: 3, 4: len(minutes)}.get(number, 0)] = -1.0
        table = table.set_column(table.column_names.index("minutes"), "minutes", pa.array(minutes))
        pa.csv.write_csv(table, folder / f"{batch(number)}.csv")

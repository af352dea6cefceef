"""The batch that a task works on: its `batch` argument, or the DAG run's data interval."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

__all__ = ["batch_from_interval", "batch_of"]


def batch_from_interval(start: datetime, end: datetime, timezone: str) -> dict[str, str]:
    """Return the batch of [start, end) as plain JSON.

    Its id is the first day ("2013-04-01") where both ends are local midnights, else the start with its offset,
    which stays unique in the hour that a clock change repeats.
    """
    zone = ZoneInfo(timezone)
    first, last = start.astimezone(zone), end.astimezone(zone)
    whole_days = all((t.hour, t.minute, t.second, t.microsecond) == (0, 0, 0, 0) for t in (first, last))
    return {
        "id": first.date().isoformat() if whole_days else first.isoformat(timespec="minutes"),
        "start": first.isoformat(),
        "end": last.isoformat(),
        "timezone": timezone,
    }


def batch_of(given: Mapping[str, Any] | None, context: Mapping[str, Any], timezone: str) -> dict[str, Any] | None:
    """Return the given batch, else the data interval's, else None where the interval is empty or absent."""
    if given is not None:
        return dict(given)
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is None or end is None or start >= end:
        return None
    return batch_from_interval(start, end, timezone)

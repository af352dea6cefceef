"""The batch that a task works on: its `batch` argument, its DAG run's data interval, or that of a run that woke it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    """Return the given batch, else the data interval's, else the one of the runs that woke this one; None without any.

    A run that assets woke has no interval of its own; the runs that emitted them may. Several events make one
    batch, from the first start to the last end: Airflow merges what comes quickly, and nothing may be left out.
    """
    if given is not None:
        return dict(given)
    own = (context.get("data_interval_start"), context.get("data_interval_end"))
    found = [pair for pair in (own, *_wakers(context)) if None not in pair and pair[0] < pair[1]]
    if not found:
        return None
    return batch_from_interval(min(start for start, _ in found), max(end for _, end in found), timezone)


def _wakers(context: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:  # moments or None
    """Yield the data interval of each run whose asset event woke this one; events sent by hand have none."""
    for events in (context.get("triggering_asset_events") or {}).values():
        for event in events:
            run = event.source_dag_run
            if run is not None:
                yield run.data_interval_start, run.data_interval_end

"""Batches of a schedule without Airflow: presets and five cron fields in local wall-clock time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["batch_of", "batches", "cron_fault"]

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
# minute, hour, day of month, month, day of week (0 and 7: Sunday)
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
# The longest that the months are, January first.
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")
# The longest wait of a schedule that ever comes: 29 February over a century that has none.
_HORIZON = timedelta(days=8 * 366)


def cron_fault(schedule: str) -> str | None:
    """Return what is wrong with a preset or cron expression, or None."""
    try:
        _fields(schedule)
    except ConfigError as exc:
        return str(exc)
    return None


def batch_of(schedule: str, batch_id: str, timezone: str) -> Batch:
    """Return the batch that starts at `batch_id`, a local day or ISO time at which `schedule` ticks.

    Raises ConfigError if it is no time, or if the schedule does not tick there.
    """
    fields = _fields(schedule)
    zone = ZoneInfo(timezone)
    try:
        start = datetime.fromisoformat(batch_id).replace(tzinfo=None)
    except ValueError as exc:
        raise ConfigError(f"batch {batch_id!r} is no day: write it as 2013-04-01") from exc
    first = _next(fields, start)
    if first != start:
        raise ConfigError(f"no batch of {schedule!r} starts at {batch_id}; the next one starts at {first.isoformat()}")
    end = _next(fields, start + timedelta(minutes=1))
    # As the operators name the batch of a data interval: by its day, where both ends are midnights.
    whole_days = start.time() == end.time() == time.min
    local_start, local_end = start.replace(tzinfo=zone), end.replace(tzinfo=zone)
    name = start.date().isoformat() if whole_days else local_start.isoformat(timespec="minutes")
    return Batch(id=name, start=local_start, end=local_end, timezone=timezone)


def batches(schedule: str, start: datetime, timezone: str) -> Iterator[Batch]:
    """Yield the batches of a schedule one after the other, the first that begins at or after `start` (naive, local)."""
    tick = _next(_fields(schedule), start)
    while True:
        batch = batch_of(schedule, tick.isoformat(), timezone)
        yield batch
        tick = batch.end.replace(tzinfo=None)


def _next(fields: tuple[frozenset[int], ...], moment: datetime) -> datetime:
    """Return the first tick at or after `moment` (naive, local)."""
    minutes, hours = sorted(fields[0]), sorted(fields[1])
    day = moment.date()
    while day <= moment.date() + _HORIZON:
        if _on(fields, day):
            for hour in hours:
                for minute in minutes:
                    tick = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001  # local by intent
                    if tick >= moment:
                        return tick
        day += timedelta(days=1)
    raise ConfigError("the schedule never comes")


def _on(fields: tuple[frozenset[int], ...], day: date) -> bool:
    """Return whether cron runs on a day: of two restricted day fields either one is enough."""
    _, _, days, months, weekdays = fields
    if day.month not in months:
        return False
    in_month, in_week = day.day in days, day.isoweekday() % 7 in weekdays
    if len(days) < 31 and len(weekdays) < 7:
        return in_month or in_week
    return in_month and in_week


def _fields(schedule: str) -> tuple[frozenset[int], ...]:
    parts = _PRESETS.get(schedule, schedule).split()
    if len(parts) != len(_BOUNDS):
        presets = ", ".join(_PRESETS)
        raise ConfigError(f"{schedule!r} is no schedule: write one of {presets}, or five cron fields")
    fields = [_field(part, low, high, schedule) for part, (low, high) in zip(parts, _BOUNDS, strict=True)]
    fields[4] = frozenset(day % 7 for day in fields[4])
    _, _, days, months, weekdays = fields
    if len(weekdays) == 7 and min(days) > max(_LONGEST[month - 1] for month in months):
        raise ConfigError(f"{schedule!r} never comes: no month that it names has a day {min(days)}")
    return tuple(fields)


def _field(text: str, low: int, high: int, schedule: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ConfigError(f"{part!r} in {schedule!r} is no cron field")
        first = int(match[1]) if match[1] else low
        last = int(match[2]) if match[2] else (high if match[1] is None or match[3] else first)
        step = int(match[3] or 1)
        if not low <= first <= last <= high or step == 0:
            raise ConfigError(f"{part!r} in {schedule!r} is outside {low} to {high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)

"""The timetable of a pipeline's batches: data intervals of a cron in its own timezone, from start to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.timetables.base import DagRunInfo, DataInterval
from airflow.timetables.interval import CronDataIntervalTimetable
from pendulum import DateTime, instance, now, parse

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.timetables.base import TimeRestriction

__all__ = ["BatchTimetable"]


class BatchTimetable(CronDataIntervalTimetable):
    """One run a batch, when its interval is over, and none outside [start, end).

    `cron` is an expression or a preset (`@hourly`, `@daily`, `@weekly`, `@monthly`) in `timezone`. A run by hand
    or over REST works on the interval that holds its logical date, or on the last one that is over where that
    one is not; backfill makes one run an interval. Airflow's plain cron schedules have empty intervals, and its
    own data-interval timetable gives a run by hand the interval before its date and knows no end.
    """

    def __init__(self, cron: str, timezone: str, start: datetime | None = None, end: datetime | None = None) -> None:
        super().__init__(cron, timezone)
        self.start = None if start is None else instance(start)
        self.end = None if end is None else instance(end)

    def serialize(self) -> dict[str, Any]:
        """Return the four arguments as plain JSON."""
        return {
            "cron": self._expression,
            "timezone": self._timezone.name,
            "start": self.start and self.start.isoformat(),
            "end": self.end and self.end.isoformat(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> BatchTimetable:
        """Return the timetable that `serialize` described."""
        return cls(data["cron"], data["timezone"], _moment(data["start"]), _moment(data["end"]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchTimetable) and self.serialize() == other.serialize()

    def __hash__(self) -> int:
        return hash(tuple(self.serialize().values()))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next interval to run, or None where it would lie outside [start, end)."""
        if self.start is not None:
            earliest = self.start if restriction.earliest is None else max(restriction.earliest, self.start)
            restriction = restriction._replace(earliest=earliest)
        found = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        if found is None or found.data_interval is None or not self._inside(found.data_interval):
            return None
        return found

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """Return the interval that holds `run_after`, or the last one that is over where that one is not.

        Raises ValueError, which Airflow's REST API answers with 400, where it lies outside [start, end).
        """
        start = self._align_to_prev(run_after)
        interval = DataInterval(start=start, end=self._get_next(start))
        if interval.end > now("UTC"):
            interval = DataInterval(start=self._get_prev(start), end=start)
        if not self._inside(interval):
            raise ValueError(
                f"{run_after.isoformat()} belongs to the batch of {interval.start.in_timezone(self._timezone)}, which "
                f"lies outside this pipeline's data [{self.start}, {self.end}): give a logical date inside it"
            )
        return interval

    def _inside(self, interval: DataInterval) -> bool:
        return (self.start is None or interval.start >= self.start) and (self.end is None or interval.end <= self.end)


def _moment(text: str | None) -> DateTime | None:
    if text is None:
        return None
    found = parse(text)
    if not isinstance(found, DateTime):
        raise TypeError(f"not a moment: {text!r}")
    return found

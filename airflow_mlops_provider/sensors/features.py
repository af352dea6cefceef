"""Sensor on the age of features."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.sensors.base import LakeSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["FeatureFreshnessSensor"]


class FeatureFreshnessSensor(LakeSensor):
    """Wait until the newest row of a feature table is fresh; the XCom is its time, ISO 8601.

    :param dataset: table of the lake that holds the features (templated)
    :param timestamp: its column that says when a row is known (templated)
    :param max_age: oldest that the newest row may be
    :param at: moment of which the age is taken, ISO 8601; default: the data interval's end, else now (templated)
    """

    template_fields = (*LakeSensor.template_fields, "dataset", "timestamp", "at")

    def __init__(
        self, *, dataset: str, timestamp: str, max_age: timedelta, at: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.timestamp = timestamp
        self.max_age = max_age
        self.at = at

    @property
    def watched_table(self) -> str:
        """The feature table."""
        return self.dataset

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the newest row."""
        newest = self._newest()
        self.log.info("newest row of %s: %s", self.dataset, newest)
        if newest is None:
            return PokeReturnValue(False)
        return PokeReturnValue(self._moment(context) - newest <= self.max_age, newest.isoformat())

    def _moment(self, context: Context) -> datetime:
        if self.at:
            return datetime.fromisoformat(self.at)
        return context.get("data_interval_end") or datetime.now(UTC)

    def _newest(self) -> datetime | None:
        import duckdb

        from airflow_mlops_provider.steps.sql import identifier

        with duckdb.connect() as con:
            if not self.open_lake().view(con, "features", self.dataset):
                return None
            # As a number: DuckDB needs pytz to give a time with a zone to Python.
            sql = f"select epoch_us(max({identifier(self.timestamp)})::timestamptz) from features"
            (newest,) = con.execute(sql).fetchone() or (None,)
        return None if newest is None else datetime.fromtimestamp(newest / 1e6, UTC)

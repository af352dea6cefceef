"""Predictions joined with their outcomes, by key: none counted twice, the newest outcome counts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.monitor import PerformanceSpec
from airflow_mlops_provider.steps.batches import BatchRow
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.score import predictions_table
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["Joined", "Predictions"]

_OWN = identifier(BATCH_COLUMN)


@dataclass(frozen=True, slots=True)
class Joined:
    """A batch's predictions by role, each of shape (n,) in the key's order, with outcomes and local days.

    `slices` has a column's values as text. `until` is the data time of the newest batch of outcomes.
    """

    y: np.ndarray
    days: np.ndarray
    scores: dict[str, np.ndarray]
    slices: dict[str, np.ndarray]
    until: datetime | None


class Predictions:
    """The predictions of a model, and the batches of `labels`, oldest version first, as one version of the lake."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        spec: PerformanceSpec,
        lake: Lake,
        version: int,
        labels: Sequence[BatchRow],
    ) -> None:
        self.con, self.spec = con, spec
        self.labels = sorted(labels, key=lambda row: (row.version or 0, row.batch.end))
        con.execute("set TimeZone = 'UTC'")
        lake.view_since(con, "predictions", predictions_table(spec.model), version)
        if labels:
            lake.view(con, "labels", spec.labels)
        ranks = {"id": [row.batch.id for row in self.labels], "rank": range(len(self.labels))}
        con.register("label_batches", pa.table(ranks, schema=pa.schema([("id", pa.string()), ("rank", pa.int64())])))
        self.keys = ", ".join(map(identifier, spec.unique_key))

    def touched(self, new: Collection[str]) -> set[str]:
        """Return the batches of predictions that have a row among the outcomes of the `new` batches of labels."""
        if not new:
            return set()
        query = f"""
            select distinct {_OWN} from predictions
            where ({self.keys}) in (select ({self.keys}) from labels where list_contains(?, {_OWN}))"""
        return {batch for (batch,) in self.con.execute(query, [sorted(new)]).fetchall()}

    def joined(self, batch: str) -> Joined:
        """Return the rows of a batch that have an outcome."""
        target = identifier(self.spec.target)
        slices = "".join(f", any_value(l.{identifier(s)})::varchar as {_slice(i)}" for i, s in self._slices())
        day = self._day("any_value(p.{})")
        query = f"""
            select {self.keys}, p.role, any_value(p.prediction) as prediction, {day} as day,
                   arg_max(l.{target}, coalesce(b.rank, -1))::double as y, max(b.rank) as newest{slices}
            from predictions p join labels l using ({self.keys}) left join label_batches b on b.id = l.{_OWN}
            where p.{_OWN} = $batch and l.{target} is not null
            group by {self.keys}, p.role order by {self.keys}"""
        found = self._found(query, batch, ["y", "newest", *(_slice(i) for i, _ in self._slices())])
        champion = found["role"] == "champion"
        newest = found["newest"][~np.isnan(found["newest"].astype(float))]
        return Joined(
            y=found["y"][champion],
            days=self._blocks(found["day"][champion]),
            scores=_by_role(found),
            slices={name: found[_slice(i)][champion] for i, name in self._slices()},
            until=self.labels[int(newest.max())].batch.end if newest.size else None,
        )

    def alone(self, batch: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the champion's predictions of a batch and their local days, each of shape (n,)."""
        day = self._day("p.{}")
        query = (
            f"select role, prediction, {day} as day from predictions p "
            f"where p.{_OWN} = $batch and role = 'champion' order by {self.keys}"
        )
        found = self._found(query, batch, [])
        return found["prediction"].astype(np.float64), self._blocks(found["day"])

    def _found(self, query: str, batch: str, more: Collection[str]) -> dict[str, np.ndarray]:
        zone = {"zone": self.spec.timezone} if self.spec.event_timestamp else {}
        table = self.con.execute(query, {"batch": batch, **zone}).to_arrow_table()
        names = ["role", "prediction", "day", *more]
        return {name: table.column(name).to_numpy() for name in names}

    def _day(self, event: str) -> str:
        if self.spec.event_timestamp is None:
            return "0"
        when = event.format(identifier(self.spec.event_timestamp))
        return f"datediff('day', date '1970-01-01', timezone($zone, {when}::timestamptz)::date)"

    def _blocks(self, days: np.ndarray) -> np.ndarray:
        """Return each row's block: its day, or where rows have no time its own place in the key's order."""
        return days.astype(np.int64) if self.spec.event_timestamp else np.arange(len(days))

    def _slices(self) -> list[tuple[int, str]]:
        return list(enumerate(self.spec.slices))


def _slice(number: int) -> str:
    return f"slice_{number}"


def _by_role(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {str(role): found["prediction"][found["role"] == role] for role in set(found["role"])}

"""Labelled rows with their features as known at each event: the training set, and its holdout."""

from __future__ import annotations

import tempfile
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.train import TrainingDataset
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.features import load_service, point_in_time
from airflow_mlops_provider.steps.holdout import between, hashed
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.rows import PLACE, StoredData, TrainingData, frame
from airflow_mlops_provider.steps.sql import identifier, literal

if TYPE_CHECKING:
    from airflow_mlops_provider.contracts.materialize import FeatureService

__all__ = ["LabelledSet", "TrainingData", "feature_columns", "frame", "join_features"]

RELATION = "labelled"


class LabelledSet:
    """The labelled rows of accepted batches up to `until`, in a DuckDB connection of its own.

    A table that knows no batches, because somebody else writes it, counts whole as one, `NAME@VERSION`.
    `versions` pins the lake's tables; those that it lacks are taken at their newest version and are then in
    `self.versions`. Raises DataError if there are no such rows.
    """

    def __init__(
        self, lake: Lake, dataset: TrainingDataset, *, until: str | None = None, versions: dict[str, int] | None = None
    ) -> None:
        self.dataset = dataset
        used = _batches(lake, dataset.entities, until)
        self.versions = dict(versions or {})
        # The largest, not the last in data time: a batch that was backfilled later has a later version.
        newest = max((row.version or 0 for row in used), default=None)
        self.versions.setdefault(
            dataset.entities, newest if newest is not None else lake.version(dataset.entities) or 0
        )
        # Not below the working directory, which in a pod can only be read.
        spill = str(Path(tempfile.gettempdir(), f"labelled-{uuid.uuid4().hex}"))
        self.con = duckdb.connect(config={"memory_limit": "2GB", "temp_directory": spill})
        self.con.execute("set TimeZone = 'UTC'")
        self.batches = [row.batch.id for row in used]
        self._register(lake, self.batches)
        self.until = used[-1].batch if used else self._whole(lake, until)

    def _register(self, lake: Lake, batches: list[str]) -> None:
        dataset = self.dataset
        lake.view_since(self.con, "entities_all", dataset.entities, self.versions[dataset.entities])
        known = self.con.table("entities_all").columns
        wanted = [dataset.target, *dataset.unique_key, *(dataset.columns or ())]
        wanted += [dataset.event_timestamp] if dataset.event_timestamp else []
        missing = [name for name in wanted if name not in known]
        if missing:
            raise DataError(f"{dataset.entities} has no column {missing}; it has {known}")
        listed = self.con.execute("select unnest($1) as id", [batches]).to_arrow_table()
        self.con.register("used_batches", listed)
        used = f"{identifier(BATCH_COLUMN)} in (select id from used_batches) and " if batches else ""
        self.con.execute(
            f"create or replace temp view entities as select * from entities_all "
            f"where {used}{identifier(dataset.target)} is not null"
        )
        own = [name for name in self.con.table("entities").columns if name not in (dataset.target, BATCH_COLUMN)]
        self.hashed_by = dataset.unique_key or tuple(sorted(own))
        joined, service = join_features(
            self.con,
            "entities",
            lake,
            feature_service=dataset.feature_service,
            event_timestamp=dataset.event_timestamp,
            versions=self.versions,
        )
        self.features = feature_columns(self.con, joined, dataset, service)
        order = [*([dataset.event_timestamp] if dataset.event_timestamp else []), *dataset.unique_key]
        clause = f"order by {', '.join(map(identifier, order))}" if order else ""
        # No temporary one: such is its connection's alone.
        self.con.execute(
            f"create or replace table {RELATION} as "
            f"select *, row_number() over ({clause}) as {identifier(PLACE)} from {identifier(joined)}"
        )

    def _whole(self, lake: Lake, until: str | None) -> Batch:
        """Return a table without batches as one batch, from its first event to its last."""
        name = self.dataset.entities
        version = self.versions[name]
        own = f"{name}@{version}"
        if until not in (None, own):
            raise DataError(
                f"{name} has no batches of its own, so none of {until!r}; leave `until` out, or say {own!r}"
            )
        first, last, rows = self.bounds()
        if not rows:
            raise DataError(f"{name} has no row with {self.dataset.target!r}")
        if first is None or last is None:
            # Nothing but the commit says when the rows were known.
            first = last = datetime.fromtimestamp(lake.require(name, version).history(1)[0]["timestamp"] / 1000, UTC)
        return Batch(id=own, start=first, end=last + timedelta(microseconds=1))

    def bounds(self) -> tuple[datetime | None, datetime | None, int]:
        """Return the first and last event (UTC) and the number of rows."""
        if self.dataset.event_timestamp is None:
            return None, None, self.count()
        column = identifier(self.dataset.event_timestamp)
        query = f"select min({column})::timestamptz, max({column})::timestamptz, count(*) from {RELATION}"
        first, last, rows = self.con.sql(query).fetchall()[0]
        return _aware(first), _aware(last), rows

    def last(self, relation: str) -> datetime | None:
        """Return the newest event (UTC) of a view, or None; the end of the newest batch where rows have no time."""
        if self.dataset.event_timestamp is None:
            return self.until.end.astimezone(UTC) - timedelta(microseconds=1) if self.batches else None
        column = identifier(self.dataset.event_timestamp)
        return _aware(self.con.sql(f"select max({column})::timestamptz from {identifier(relation)}").fetchall()[0][0])

    def count(self) -> int:
        """Return the number of rows."""
        return int(self.con.sql(f"select count(*) from {RELATION}").fetchall()[0][0])

    def select(
        self,
        name: str,
        *,
        since: datetime | None = None,
        before: datetime | None = None,
        share: tuple[float, float] = (0.0, 1.0),
        seen: tuple[float, str | None] | None = None,
    ) -> str:
        """Make a view of rows and return its name.

        They are those whose event lies in [since, before) and whose hash lies in `share` of its range; with `seen`,
        (share, batch), only those in that lower share of the hash's range, or of a batch after that one.
        """
        parts = [
            f"{identifier(self.dataset.event_timestamp or '')} {sign} '{when.isoformat()}'::timestamptz"
            for sign, when in ((">=", since), ("<", before))
            if when is not None
        ]
        place = hashed(self.hashed_by)
        parts += [between(place, *share)] if share != (0.0, 1.0) else []
        parts += [f"({between(place, 0.0, seen[0])} or {self._later(seen[1])})"] if seen else []
        where = f" where {' and '.join(parts)}" if parts else ""
        self.con.execute(f"create or replace view {identifier(name)} as select * from {RELATION}{where}")
        return name

    def _later(self, batch: str | None) -> str:
        later = self.batches[self.batches.index(batch) + 1 :] if batch in self.batches else []
        return f"{identifier(BATCH_COLUMN)} in ({', '.join(map(literal, later))})" if later else "false"

    def data(self, relation: str, valid: TrainingData | None = None) -> TrainingData:
        """Return a view's rows, in the order of the event and the key: the same on every try."""
        return StoredData(self.con, relation, self.features, self.dataset.target, valid)


def _batches(lake: Lake, table: str, until: str | None) -> list[BatchRow]:
    """Return the accepted batches up to `until`; none for a table that knows no batches."""
    rows = BatchLedger(lake, table).accepted()
    ids = [row.batch.id for row in rows]
    if not rows and BATCH_COLUMN in (lake.schema(table) or pa.schema([(BATCH_COLUMN, pa.string())])).names:
        raise DataError(f"{table}: no batch was accepted yet")
    if rows and until is not None and until not in ids:
        raise DataError(f"{table}: batch {until!r} was not accepted; the newest is {ids[-1]}")
    return rows[: ids.index(until) + 1] if rows and until else rows


def join_features(
    con: duckdb.DuckDBPyConnection,
    entities: str,
    lake: Lake,
    *,
    feature_service: str | None,
    event_timestamp: str | None,
    versions: dict[str, int],
) -> tuple[str, FeatureService | None]:
    """Join a feature service to a view of entities; return the new view's name and the service.

    `versions` is completed by those that were read.
    """
    if feature_service is None:
        return entities, None
    if event_timestamp is None:
        raise DataError(f"feature_service {feature_service!r} needs event_timestamp")
    service = load_service(lake, feature_service)
    for view in service.views:
        if view.table not in versions:
            versions[view.table] = lake.require(view.table).version()
    joined = point_in_time(con, entities, service, lake, event_timestamp=event_timestamp, versions=versions)
    return joined, service


def feature_columns(
    con: duckdb.DuckDBPyConnection, relation: str, dataset: TrainingDataset, service: FeatureService | None
) -> list[str]:
    """Return the features in a fixed order: the entities' own columns, then the service's."""
    joined = [name for view in service.views for name in view.features] if service else []
    if dataset.columns is not None:
        return [*dataset.columns, *joined]
    left_out = {dataset.target, dataset.event_timestamp, BATCH_COLUMN, *dataset.unique_key, *joined}
    return [name for name in con.table(relation).columns if name not in left_out] + joined


def _aware(when: datetime | None) -> datetime | None:
    return None if when is None else when.astimezone(UTC)

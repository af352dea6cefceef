"""The wide online store: SQLite, one row an entity, one column a feature. Needs no Feast, so it costs no import."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_mlops_provider.steps.sql import identifier

__all__ = ["EVENT_COLUMN", "OnlineTable", "connect", "store_id"]

# Microseconds since 1970 UTC of the row that the values come from.
EVENT_COLUMN = "_event_us"
_TIMEOUT_S = 120.0
_KEYS_A_QUERY = 500


def connect(path: str | Path) -> sqlite3.Connection:
    """Open the store, made where it is not. Two processes may write: each waits for the other up to two minutes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    con = sqlite3.connect(path, timeout=_TIMEOUT_S, isolation_level=None)
    con.execute("pragma journal_mode = wal")  # readers go on while one writes
    return con


def store_id(con: sqlite3.Connection) -> str:
    """Return the name that the store got when it was made: a store that was lost and made anew has another."""
    con.execute("create table if not exists _store (one integer primary key check (one = 1), id text not null)")
    con.execute("insert or ignore into _store values (1, ?)", [uuid.uuid4().hex])
    return str(con.execute("select id from _store").fetchone()[0])


@dataclass(frozen=True, slots=True)
class OnlineTable:
    """The online rows of one feature view. Values are SQLite's own: NaN is null there, a timestamp whole seconds."""

    project: str
    view: str
    keys: tuple[str, ...]
    features: tuple[str, ...]

    @property
    def sql_name(self) -> str:
        """The table's quoted name."""
        return identifier(f"{self.project}_{self.view}")

    def create(self, con: sqlite3.Connection) -> None:
        """Make the table, or add the columns of new features; their values come with the next materialization."""
        keys = ", ".join(map(identifier, self.keys))
        columns = ", ".join([*map(identifier, (*self.keys, *self.features)), f"{EVENT_COLUMN} integer not null"])
        con.execute("begin immediate")
        try:
            con.execute(f"create table if not exists {self.sql_name} ({columns}, primary key ({keys})) without rowid")
            known = {row[1] for row in con.execute(f"pragma table_info({self.sql_name})")}
            for feature in self.features:
                if feature not in known:
                    con.execute(f"alter table {self.sql_name} add column {identifier(feature)}")
        finally:
            con.execute("commit")

    def drop(self, con: sqlite3.Connection) -> None:
        """Remove the table."""
        con.execute(f"drop table if exists {self.sql_name}")

    def write(self, con: sqlite3.Connection, chunks: Iterable[Sequence[Sequence[Any]]]) -> int:
        """Write rows of (keys, features, event in microseconds), all or none; return how many were taken.

        A row replaces that of its entity unless its event is older: an interval that is run again puts nothing
        old online. Of equal events the later writer's counts, so that a correction arrives.
        """
        columns = (*self.keys, *self.features, EVENT_COLUMN)
        sets = ", ".join(f"{identifier(c)} = excluded.{identifier(c)}" for c in (*self.features, EVENT_COLUMN))
        statement = (
            f"insert into {self.sql_name} ({', '.join(map(identifier, columns))}) "
            f"values ({', '.join('?' * len(columns))}) "
            f"on conflict ({', '.join(map(identifier, self.keys))}) do update set {sets} "
            f"where excluded.{EVENT_COLUMN} >= {EVENT_COLUMN}"
        )
        before = con.total_changes
        con.execute("begin immediate")
        try:
            for chunk in chunks:
                con.executemany(statement, chunk)
        except BaseException:
            con.execute("rollback")
            raise
        con.execute("commit")
        return con.total_changes - before

    def read(
        self, con: sqlite3.Connection, entities: Sequence[tuple[Any, ...]]
    ) -> dict[tuple[Any, ...], Sequence[Any]]:
        """Return (features, event in microseconds) by entity, for those that are there."""
        names = [*map(identifier, self.keys)]
        columns = ", ".join(f"t.{identifier(c)}" for c in (*self.keys, *self.features, EVENT_COLUMN))
        same = " and ".join(f"t.{name} = asked.{name}" for name in names)
        found = {}
        for start in range(0, len(entities), _KEYS_A_QUERY):
            chunk = entities[start : start + _KEYS_A_QUERY]
            one = f"({', '.join('?' * len(names))})"
            # A join, since SQLite scans the table for `(a, b) in (values ...)`; "cross" keeps its order.
            rows = con.execute(
                f"with asked ({', '.join(names)}) as (values {', '.join([one] * len(chunk))}) "
                f"select {columns} from asked cross join {self.sql_name} t on {same}",
                [value for entity in chunk for value in entity],
            )
            found.update({row[: len(names)]: row[len(names) :] for row in rows})
        return found

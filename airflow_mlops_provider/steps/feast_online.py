"""Feast's online store over the wide SQLite tables, named by dotted path in feature_store.yaml."""

# ruff: noqa: ARG002 - Feast gives the signatures
from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal

from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.Value_pb2 import Value as ValueProto
from feast.repo_config import FeastConfigBaseModel
from pydantic import field_validator

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps.feast_sqlite import OnlineTable, connect
from airflow_mlops_provider.steps.feast_store import absolute, to_us

__all__ = ["WideSqliteOnlineStore", "WideSqliteOnlineStoreConfig"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCALARS = {"BOOL", "BYTES", "DOUBLE", "FLOAT", "INT32", "INT64", "STRING", "UNIX_TIMESTAMP"}


class WideSqliteOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # untyped there
    """`path`: the database file, absolute."""

    type: Literal["airflow_mlops_provider.steps.feast_online.WideSqliteOnlineStore"] = (
        "airflow_mlops_provider.steps.feast_online.WideSqliteOnlineStore"
    )
    path: str

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        if "://" in path:
            raise ValueError(f"online_store.path: {path} is not a local file; name an online store that you run")
        return absolute(path, "online_store.path")


class WideSqliteOnlineStore(OnlineStore):  # type: ignore[misc]  # untyped there
    """One SQLite row an entity; an older value never replaces a newer one. For scalar features."""

    _local: ClassVar[threading.local] = threading.local()

    def online_write_batch(self, config: Any, table: Any, data: Any, progress: Any) -> None:
        """Write rows as Feast gives them: (entity key, values, event time, created time)."""
        online = _online_table(config, table)
        rows = [
            (*_entity(key, online.keys), *(_plain(values.get(f)) for f in online.features), to_us(event))
            for key, values, event, _created in data
        ]
        con = self._connection(config)
        online.create(con)
        online.write(con, [rows])
        if progress:
            progress(len(rows))

    def online_read(
        self, config: Any, table: Any, entity_keys: Any, requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Return (event time, values) in the order of the keys; (None, None) where nothing is known."""
        types = {field.name: _scalar(table, field) for field in table.features}
        chosen = tuple(f for f in (requested_features or types) if f in types)
        online = OnlineTable(config.project, table.name, _online_table(config, table).keys, chosen)
        entities = [_entity(key, online.keys) for key in entity_keys]
        found = online.read(self._connection(config), entities)
        return [_answer(found.get(entity), chosen, types) for entity in entities]

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Make the tables of views that are kept and drop the others."""
        con = self._connection(config)
        for view in tables_to_keep:
            for field in view.features:
                _scalar(view, field)
            _online_table(config, view).create(con)
        for view in tables_to_delete:
            _online_table(config, view).drop(con)

    def teardown(self, config: Any, tables: Sequence[Any], entities: Sequence[Any]) -> None:
        """Drop the tables of a project that is taken down."""
        for view in tables:
            _online_table(config, view).drop(self._connection(config))

    def _connection(self, config: Any) -> Any:  # sqlite3's connection
        # One a thread, and not across a fork: SQLite allows neither.
        place = (os.getpid(), config.online_store.path)
        if getattr(self._local, "place", None) != place:
            self._local.con, self._local.place = connect(config.online_store.path), place
        return self._local.con


def _online_table(config: Any, view: Any) -> OnlineTable:
    keys = tuple(sorted(column.name for column in view.entity_columns))
    return OnlineTable(config.project, view.name, keys, tuple(field.name for field in view.features))


def _entity(key: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    values = dict(zip(key.join_keys, key.entity_values, strict=True))
    return tuple(_plain(values[name]) for name in names)


def _plain(value: Any) -> Any:  # a scalar that SQLite keeps
    kind = value.WhichOneof("val") if value is not None else None
    return None if kind is None else getattr(value, kind)


def _scalar(view: Any, field: Any) -> str:
    kind = field.dtype.to_value_type().name
    if kind not in _SCALARS:
        raise ConfigError(f"feature {view.name}.{field.name} is {kind}; this online store keeps {sorted(_SCALARS)}")
    return str(kind)


def _answer(
    row: Sequence[Any] | None, features: tuple[str, ...], types: dict[str, str]
) -> tuple[datetime | None, dict[str, Any] | None]:
    if row is None:
        return None, None
    *values, event = row
    return _EPOCH + timedelta(microseconds=event), {
        name: ValueProto() if value is None else ValueProto(**{f"{types[name].lower()}_val": value})
        for name, value in zip(features, values, strict=True)
    }

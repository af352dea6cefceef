"""The online stores that `materialize` writes: our own SQLite file, and any other one through Feast's own writer."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.materialize import FeatureView
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.feast_sqlite import EVENT_COLUMN, OnlineTable, connect, store_id
from airflow_mlops_provider.steps.features import microseconds
from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import duckdb

    from airflow_mlops_provider.steps.feast_repo import FeastRepo

__all__ = ["OnlineStore", "online_store"]

_WIDE = "airflow_mlops_provider.steps.feast_online.WideSqliteOnlineStore"
_ROWS_A_CHUNK = 10_000
_KEPT = {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "FLOAT", "DOUBLE"}
_KEPT |= {"VARCHAR", "BLOB"}
# What says who one is, not where the store is.
_SECRETS = ("password", "secret", "token", "credential", "user", "key")


class OnlineStore(Protocol):
    """Where an entity's newest features are read while a request waits."""

    id: str

    def column(self, sql: str, kind: str, view: str) -> str:
        """Return SQL for a feature in the store's own types. Raises DataError for one that it does not keep."""
        ...

    def write(self, view: FeatureView, rows: duckdb.DuckDBPyRelation) -> int:
        """Write keys, features and the moment in microseconds (`EVENT_COLUMN`); return how many rows were taken."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def online_store(repo: FeastRepo) -> OnlineStore:
    """Return the store that a repository's settings name. Raises ConfigError where they name none, or no local file."""
    online = repo.config.get("online_store")
    kind = online.get("type") if isinstance(online, dict) else online
    if not kind:
        raise ConfigError(f"{repo.path}/feature_store.yaml: online_store names no type")
    return _Wide(repo) if kind == _WIDE else _Any(repo)


class _Wide:
    """SQLite, one row an entity. Needs no import of Feast, which takes seconds."""

    def __init__(self, repo: FeastRepo) -> None:
        path = str(repo.config["online_store"].get("path"))
        if "://" in path or not Path(path).is_absolute():
            raise ConfigError(f"{repo.path}/feature_store.yaml: online_store.path must be a local file, not {path}")
        self._project = repo.project
        self._con = connect(path)
        self.id = store_id(self._con)

    def column(self, sql: str, kind: str, view: str) -> str:
        if kind in _KEPT:
            return sql
        if kind.startswith("DECIMAL"):
            return f"{sql}::double"
        if kind.startswith("TIMESTAMP") or kind == "DATE":
            return f"{microseconds(sql, kind)} // 1000000"
        raise DataError(f"feature view {view!r}: {sql} is {kind}, which this online store does not keep")

    def write(self, view: FeatureView, rows: duckdb.DuckDBPyRelation) -> int:
        table = OnlineTable(self._project, view.name, tuple(sorted(view.join_keys)), view.features)
        table.create(self._con)
        columns = ", ".join(map(identifier, (*table.keys, *table.features, EVENT_COLUMN)))
        found = rows.project(columns)
        return table.write(self._con, iter(lambda: found.fetchmany(_ROWS_A_CHUNK), []))

    def close(self) -> None:
        self._con.close()


class _Any:
    """Redis, DynamoDB, PostgreSQL and the like: Feast's own writer, which imports Feast."""

    def __init__(self, repo: FeastRepo) -> None:
        from feast import FeatureStore
        from feast.infra.provider import get_provider
        from feast.repo_config import RepoConfig

        config = RepoConfig(**repo.config, repo_path=repo.path)
        self._store, self._provider = FeatureStore(config=config), get_provider(config)
        # Which store a watermark speaks of: where it is, and never what opens it.
        place = json.dumps([repo.project, _place(repo.config["online_store"])], sort_keys=True)
        self.id = hashlib.sha256(place.encode()).hexdigest()[:32]

    def column(self, sql: str, kind: str, view: str) -> str:  # noqa: ARG002  # the protocol's form
        return f"{sql}::double" if kind.startswith("DECIMAL") else sql

    def write(self, view: FeatureView, rows: duckdb.DuckDBPyRelation) -> int:
        feast_view = self._store.get_feature_view(view.name)
        columns = [*map(identifier, (*view.join_keys, *view.features))]
        moment = f"make_timestamptz({EVENT_COLUMN}) as {identifier(view.timestamp)}"
        with closing(rows.project(", ".join([*columns, moment])).to_arrow_reader(_ROWS_A_CHUNK)) as reader:
            taken = 0
            for batch in reader:
                self._provider.ingest_df(feast_view, batch.to_pandas())
                taken += batch.num_rows
        return taken

    def close(self) -> None:
        self._store.close() if hasattr(self._store, "close") else None


def _place(settings: Json | str) -> Any:  # the YAML's own JSON
    if not isinstance(settings, dict):
        return settings
    plain = {key: str(value) for key, value in settings.items() if not any(word in key.lower() for word in _SECRETS)}
    # Redis' form of an address carries its password behind a comma.
    return {key: value.partition(",")[0] for key, value in plain.items()}

"""dbt-duckdb plugin: sources named `lake` read lake tables, each at one version, pinned before the build.

Plugins that load sources race between dbt's threads; views made once, with the connection, do not.
"""

from __future__ import annotations

from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["SOURCE", "Plugin", "pin"]

SOURCE = "lake"

_pinned: dict[str, tuple[Lake, int]] = {}


def pin(lake: Lake, manifest: Any) -> dict[str, int]:
    """Pin the tables that the project's sources of name `lake` read, and return their versions.

    A table with a batch ledger is read as of the newest version that an accepted batch is in, another one
    at its newest. A table that the lake does not have is left to the node that needs it. `manifest` is
    dbt's own, changed for a remote lake, whose tables are views of a session, not of the warehouse.
    """
    for source in manifest.sources.values():
        if source.source_name != SOURCE:
            continue
        if "://" in lake.root:
            source.database, source.schema = "temp", "main"
            source.relation_name = f"temp.main.{identifier(source.identifier)}"
        version = _version(lake, source.identifier)
        if version is not None:
            _pinned[source.identifier] = (lake, version)
    return {table: version for table, (_, version) in sorted(_pinned.items())}


class Plugin(BasePlugin):  # type: ignore[misc]  # dbt has no types
    """Named in the project's profile; without a pin (`dbt debug` by hand) it shows nothing."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Make schema `lake` of the warehouse anew, with a view of each pinned table."""
        local = {table: pinned for table, pinned in _pinned.items() if "://" not in pinned[0].root}
        if not local:
            return
        conn.execute(f"drop schema if exists {SOURCE} cascade; create schema {SOURCE}; set schema = '{SOURCE}'")
        for table, (lake, version) in local.items():
            lake.view(conn, table, table, version)
            _keep_empty(conn, table)
        conn.execute("set schema = 'main'")

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Register remote tables: what is registered is seen by one cursor only."""
        for table, (lake, version) in _pinned.items():
            if "://" in lake.root:
                lake.view(cursor, table, table, version)


def _version(lake: Lake, table: str) -> int | None:
    # Batches come in any order (a replay, a backfill), so the newest version may not be the last batch's.
    accepted = [row.version for row in BatchLedger(lake, table).accepted() if row.version is not None]
    return max(accepted) if accepted else lake.version(table)


def _keep_empty(conn: duckdb.DuckDBPyConnection, table: str) -> None:
    # A table without files has no file list to view; it was registered, which dbt's cursors do not see.
    name = identifier(table)
    registered = conn.execute("select 1 from duckdb_views() where temporary and view_name = ?", [table]).fetchone()
    if registered:
        conn.execute(f"create table {SOURCE}.{name} as from temp.main.{name}")

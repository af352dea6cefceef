"""An Airflow connection as the plain fields that a step is handed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_mlops_provider.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["afind_fields", "connection_fields", "connection_ids", "find_fields"]

Fields = dict[str, Any]


def find_fields(conn_id: str) -> Fields | None:
    """Return a connection's conn_type, host, login, password, schema, port and extra (a dict), or None."""
    try:
        return _fields(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        return None


async def afind_fields(conn_id: str) -> Fields | None:
    """Return what `find_fields` does, from inside an event loop."""
    try:
        return _fields(await BaseHook.aget_connection(conn_id))
    except AirflowNotFoundException:
        return None


def connection_fields(conn_id: str) -> Fields:
    """Return a connection's fields. Raises ConfigError, with the command that adds it, if there is none."""
    found = find_fields(conn_id)
    if found is None:
        raise ConfigError(f"no connection {conn_id!r}: airflow connections add {conn_id} --conn-type ...")
    return found


def connection_ids(spec: Any) -> Iterator[str]:
    """Yield every `conn_id` that a spec names, at any depth."""
    if isinstance(spec, dict):
        if isinstance(spec.get("conn_id"), str):
            yield spec["conn_id"]
        spec = spec.values()
    if isinstance(spec, Iterable) and not isinstance(spec, str):
        for value in spec:
            yield from connection_ids(value)


def _fields(connection: Connection) -> Fields:
    names = ("conn_type", "host", "login", "password", "schema", "port")
    return {**{name: getattr(connection, name) for name in names}, "extra": connection.extra_dejson}

"""Connections of a local run: AIRFLOW_CONN_<ID> as Airflow reads it, and MLflow's own variable. No Airflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["connection_of", "connections_for"]

Fields = dict[str, Any]  # Airflow's: conn_type, host, login, password, schema, port, extra (a dict)
_NAMES = ("conn_type", "host", "login", "password", "schema", "port")


def connections_for(ids: set[str], environ: Mapping[str, str], lake: str) -> dict[str, Fields]:
    """Return the connections that a step needs: those of `ids`, and the two that steps know by role.

    `mlflow_default` falls back to MLFLOW_TRACKING_URI, then to a SQLite file in a local lake; `lake_default`
    may be absent. Raises ConfigError if one of `ids` is nowhere.
    """
    found = {conn_id: connection_of(conn_id, environ) for conn_id in sorted({*ids, "mlflow_default", "lake_default"})}
    missing = [conn_id for conn_id in sorted(ids) if found[conn_id] is None]
    if missing:
        names = ", ".join(_variable(conn_id) for conn_id in missing)
        raise ConfigError(f"no connection {', '.join(map(repr, missing))}: set {names} to a URI or JSON")
    if found["mlflow_default"] is None:
        found["mlflow_default"] = _mlflow(environ, lake)
    return {conn_id: fields for conn_id, fields in found.items() if fields is not None}


def connection_of(conn_id: str, environ: Mapping[str, str]) -> Fields | None:
    """Return the fields of AIRFLOW_CONN_<ID>, a URI or JSON, or None. Raises ConfigError, never with the value."""
    text = environ.get(_variable(conn_id), "").strip()
    if not text:
        return None
    fields = _from_json(conn_id, text) if text.startswith("{") else _from_uri(conn_id, text)
    return {name: fields.get(name) for name in _NAMES} | {"extra": fields.get("extra") or {}}


def _from_json(conn_id: str, text: str) -> Fields:
    try:
        data = json.loads(text)
        extra = data.get("extra") or {}
        data["extra"] = json.loads(extra) if isinstance(extra, str) else extra
        data["port"] = int(data["port"]) if data.get("port") not in (None, "") else None
    except (ValueError, TypeError):
        # Not `from`: the cause's text holds the value.
        raise ConfigError(f"{_variable(conn_id)} is no JSON of a connection") from None
    unknown = sorted(set(data) - {*_NAMES, "extra", "description"})
    if unknown or not data.get("conn_type") or not isinstance(data["extra"], dict):
        what = f"has unknown fields {', '.join(unknown)}" if unknown else "needs conn_type, and extra as an object"
        raise ConfigError(f"{_variable(conn_id)} {what}")
    return data  # type: ignore[no-any-return]  # JSON


def _from_uri(conn_id: str, text: str) -> Fields:
    try:
        parts = urlsplit(text)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        extra = json.loads(query["__extra__"]) if "__extra__" in query else query
        port = parts.port
    except ValueError:
        raise ConfigError(f"{_variable(conn_id)} is no URI of a connection") from None
    if not parts.scheme or "://" not in text or not isinstance(extra, dict):
        raise ConfigError(
            f"{_variable(conn_id)} is no URI of a connection: write TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA"
        )
    kind = parts.scheme.replace("-", "_")
    return {
        "conn_type": "postgres" if kind == "postgresql" else kind,
        # urlsplit lowers `hostname`; a quoted address of a server has to keep its case
        "host": _unquoted(parts.netloc.rpartition("@")[2].removesuffix(f":{port}" if port else "")),
        "login": _unquoted(parts.username),
        "password": _unquoted(parts.password),
        "schema": _unquoted(parts.path.removeprefix("/")),
        "port": port,
        "extra": extra,
    }


def _mlflow(environ: Mapping[str, str], lake: str) -> Fields:
    uri = environ.get("MLFLOW_TRACKING_URI")
    if uri is None and "://" in lake:
        raise ConfigError("no MLflow: set MLFLOW_TRACKING_URI or AIRFLOW_CONN_MLFLOW_DEFAULT; the lake is not a folder")
    if uri is None:
        folder = Path(lake) / "_mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        return _server(f"sqlite:///{folder / 'mlflow.db'}", artifact_root=str(folder / "artifacts"))
    return _server(uri)


def _server(uri: str, **extra: str) -> Fields:
    return {**dict.fromkeys(_NAMES), "conn_type": "mlflow", "host": uri, "extra": extra}


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None


def _variable(conn_id: str) -> str:
    return f"AIRFLOW_CONN_{conn_id.upper()}"

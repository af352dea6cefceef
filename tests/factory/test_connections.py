from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.connections import connection_of, connections_for

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://me:{SECRET}%40x@db.acme:5433/shop?sslmode=require",
        "mlflow://http%3A%2F%2FTracking.acme%3A5000",
        "aws://key:se%2Fcret@/?__extra__=%7B%22endpoint_url%22%3A+%22http%3A%2F%2Fs3%3A9000%22%7D",
        "sqlite:///var%2Fshop.db",
        json.dumps({"conn_type": "mysql", "host": "db", "port": "3306", "extra": '{"a": 1}'}),
        json.dumps({"conn_type": "http", "login": "me", "extra": {"a": {"b": 2}}}),
    ],
)
def test_reads_what_airflow_reads(text: str) -> None:
    connection = pytest.importorskip("airflow.sdk.definitions.connection").Connection
    theirs = connection.from_json(text, conn_id="shop") if text.startswith("{") else connection.from_uri(
        text, conn_id="shop"
    )  # fmt: skip

    ours = connection_of("shop", {"AIRFLOW_CONN_SHOP": text})

    assert ours is not None
    for name in ("conn_type", "host", "login", "password", "schema", "port"):
        assert (ours[name] or None) == (getattr(theirs, name) or None), name
    assert ours["extra"] == theirs.extra_dejson


@pytest.mark.parametrize(
    "text",
    [
        f"not a uri {SECRET}",
        f"postgres://me:{SECRET}@db:port/x",
        f"{{{SECRET}",
        json.dumps({"conn_type": "x", "passwrod": SECRET}),
        json.dumps({"password": SECRET}),
        json.dumps({"conn_type": "x", "extra": f"[{SECRET}"}),
    ],
)
def test_what_is_no_connection_is_refused_without_its_secret(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^AIRFLOW_CONN_SHOP ") as caught:
        connection_of("shop", {"AIRFLOW_CONN_SHOP": text})

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_mlflow_is_the_variables_server_else_a_file_in_the_lake(tmp_path: Path) -> None:
    lake = str(tmp_path)

    assert connections_for(set(), {}, lake)["mlflow_default"]["host"] == f"sqlite:///{lake}/_mlflow/mlflow.db"
    named = connections_for(set(), {"MLFLOW_TRACKING_URI": "http://a"}, lake)
    assert named["mlflow_default"]["host"] == "http://a"
    own = {
        "MLFLOW_TRACKING_URI": "http://a",
        "AIRFLOW_CONN_MLFLOW_DEFAULT": '{"conn_type": "mlflow", "host": "http://b"}',
    }
    assert connections_for(set(), own, lake)["mlflow_default"]["host"] == "http://b"


def test_a_remote_lake_needs_a_server() -> None:
    with pytest.raises(ConfigError, match="no MLflow: set MLFLOW_TRACKING_URI"):
        connections_for(set(), {}, "s3://acme")


def test_a_missing_connection_names_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^no connection 'shop': set AIRFLOW_CONN_SHOP to a URI or JSON$"):
        connections_for({"shop"}, {}, str(tmp_path))

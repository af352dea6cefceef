"""Connections as Airflow's people define them, and what becomes of them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.hooks.connection import connection_ids
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook


@pytest.mark.parametrize(
    ("fields", "uri", "ui"),
    [
        ({"host": "https://mlflow.test/"}, "https://mlflow.test/", "https://mlflow.test"),
        ({"host": "mlflow.test", "port": 5000}, "http://mlflow.test:5000", "http://mlflow.test:5000"),
        ({"host": "mlflow.test", "schema": "https"}, "https://mlflow.test", "https://mlflow.test"),
        ({"host": "sqlite:////srv/m.db"}, "sqlite:////srv/m.db", ""),
        (
            {"host": "http://mlflow:5000", "extra": {"ui_url": "https://ml.acme.test/"}},
            "http://mlflow:5000",
            "https://ml.acme.test",
        ),
    ],
)
def test_mlflow_connection_gives_the_tracking_uri_and_the_pages(connect, fields, uri, ui):
    connect("mlflow_default", conn_type="mlflow", **fields)
    assert MlflowHook().fields()["host"] == uri
    assert MlflowHook().ui_url() == ui


def test_a_connection_that_is_not_there_is_named_with_the_way_out():
    with pytest.raises(
        ConfigError, match="no connection 'nowhere' with a host: airflow connections add nowhere --conn"
    ):
        MlflowHook("nowhere").fields()


def test_mlflow_hook_reads_a_real_registry(connect, tmp_path):
    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{tmp_path}/m.db")
    hook = MlflowHook()
    assert hook.test_connection() == (True, "MLflow answers")
    assert hook.alias_version("delay") is None
    client = hook.get_conn()
    client.create_registered_model("delay")
    assert hook.alias_version("delay") is None
    client.create_model_version("delay", source=f"{tmp_path}/model")
    client.set_registered_model_alias("delay", "champion", "1")
    assert hook.alias_version("delay") == "1"


def test_lake_root_comes_from_the_argument_the_connection_or_airflow_cfg(connect, monkeypatch, tmp_path):
    assert LakeHook(lake="s3://given").root() == "s3://given"
    assert LakeHook().root().endswith("/lake")
    connect("lake_default", conn_type="mlops_lake", extra={"root": str(tmp_path)})
    hook = LakeHook()
    assert hook.root() == str(tmp_path)
    hook.get_conn().write_once("t", pa.table({"a": [1]}), app="x")
    assert hook.version("t") == 1
    assert hook.version("other") is None
    assert hook.test_connection() == (True, "the lake answers")


def test_without_any_lake_the_setting_is_named(monkeypatch):
    monkeypatch.delenv("AIRFLOW__MLOPS__LAKE")
    with pytest.raises(ConfigError, match=r"no lake: set \[mlops\] lake in airflow.cfg \(AIRFLOW__MLOPS__LAKE\)"):
        LakeHook().root()


def test_feast_repository_must_be_one(connect, tmp_path):
    connect("feast_default", conn_type="feast", extra={"feature_repo": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"is no folder with feature_store\.yaml"):
        FeastHook().repository()
    (tmp_path / "feature_store.yaml").write_text("project: p")
    assert FeastHook().repository() == tmp_path


def test_every_connection_that_a_spec_names_is_found():
    spec = {
        "datasets": {"a": {"conn_id": "shop"}, "b": [{"deep": {"conn_id": "crm"}}]},
        "conn_id": None,
        "x": "conn_id",
    }
    assert sorted(connection_ids(spec)) == ["crm", "shop"]

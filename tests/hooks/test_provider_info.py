"""What Airflow itself finds of this package."""

from __future__ import annotations

import importlib
import json
from importlib.resources import files

import pytest
from jsonschema import validate

from airflow_mlops_provider import hooks
from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError
from airflow_mlops_provider.get_provider_info import get_provider_info


def test_it_fits_airflows_schema_and_every_name_can_be_imported():
    info = get_provider_info()
    validate(info, json.loads((files("airflow") / "provider_info.schema.json").read_text()))
    for kind in ("operators", "sensors", "hooks", "triggers"):
        for module in info[kind][0]["python-modules"]:
            importlib.import_module(module)
    classes = [c["hook-class-name"] for c in info["connection-types"]] + info["extra-links"]
    for dotted in classes:
        module, _, name = dotted.rpartition(".")
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_airflow_finds_provider_links_connections_and_timetable():
    from airflow import plugins_manager
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert "airflow-mlops-provider" in manager.providers
    links = set(manager.extra_links_class_names)
    assert "airflow_mlops_provider.operators.links.MlflowRunLink" in links
    assert {"mlflow", "mlops_lake", "feast"} <= set(manager.hooks)
    assert "airflow_mlops_provider.factory.timetable.BatchTimetable" in plugins_manager.get_timetables_plugins()


@pytest.mark.parametrize("found", ["2.11.0", "3.1.8", "4.0.0"])
def test_another_airflow_is_refused_clearly(monkeypatch, found):
    monkeypatch.setattr(hooks, "version", lambda _: found)
    with pytest.raises(ConfigError, match=rf"needs apache-airflow >=3.2,<4 and found {found}"):
        hooks.require_airflow()


def test_no_airflow_is_named_as_the_missing_extra(monkeypatch):
    def absent(name):
        raise hooks.PackageNotFoundError(name)

    monkeypatch.setattr(hooks, "version", absent)
    with pytest.raises(MissingExtraError, match=r"pip install 'airflow-mlops-provider\[airflow\]'"):
        hooks.require_airflow()

"""The pinned list of a step: all that its extras bring, as installed, and nothing of Airflow."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners import requirements
from airflow_mlops_provider.runners.requirements import pinned, pinned_by
from airflow_mlops_provider.steps.registry import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_no_step_needs_airflow_or_this_package(step):
    names = {line.partition("==")[0] for line in pinned(step)}
    assert not {name for name in names if "airflow" in name}
    assert "pydantic" in names


def test_a_step_has_its_own_tools_and_what_they_need():
    found = pinned("decide")
    assert {f"deltalake=={version('deltalake')}", f"duckdb=={version('duckdb')}"} <= set(found)
    # Of an extra's extra: ibis-framework[duckdb].
    assert f"rich=={version('rich')}" in found
    assert not [line for line in found if line.startswith(("mlflow", "feast", "dbt"))]
    assert {f"mlflow=={version('mlflow')}", f"mlflow-skinny=={version('mlflow-skinny')}"} <= set(pinned("train"))
    names = [line.partition("==")[0] for line in found]
    assert names == sorted(set(names))


def test_a_store_for_the_lake_is_there_where_it_is_here():
    assert f"s3fs=={version('s3fs')}" in pinned("decide")


def test_what_is_not_installed_is_named(monkeypatch):
    real = requirements.distribution

    def without(name):
        if name == "duckdb":
            raise requirements.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(requirements, "distribution", without)
    with pytest.raises(ConfigError, match="duckdb is not installed here, and the step needs it"):
        pinned("decide")


def test_another_interpreter_is_asked():
    assert pinned_by(sys.executable, "decide") == pinned("decide")
    with pytest.raises(ConfigError, match="no step 'trian'; known: ingest"):
        pinned_by(sys.executable, "trian")
    with pytest.raises(ConfigError, match="/nowhere/python cannot be started"):
        pinned_by("/nowhere/python", "decide")

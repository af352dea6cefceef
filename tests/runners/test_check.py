from __future__ import annotations

import platform
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from airflow_mlops_provider import __version__
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners.check import EXTRAS, check, describe

ROOT = Path(__file__).parents[2]
NOT_OF_STEPS = {"airflow", "kubernetes", "xgboost", "lightgbm", "optuna", "torch", "testing", "all"}


def test_its_extras_are_those_of_pyproject():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {extra: {Requirement(r).name for r in given} for extra, given in declared.items()}
    assert {extra: set(given) for extra, given in EXTRAS.items()} == {
        extra: given for extra, given in names.items() if extra not in NOT_OF_STEPS
    }


def test_another_interpreter_says_what_it_has(tools_python):
    found = check(tools_python)
    assert found["executable"] == tools_python
    assert (found["python"], found["package"], found["protocol"]) == (platform.python_version(), __version__, 1)
    assert found["tools"]["duckdb"] == version("duckdb")


def test_what_is_not_installed_is_missing_by_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = describe()
    assert found["tools"]["mlflow"] is None
    assert found["missing"]["mlflow"] == ["mlflow", "pandas", "scikit-learn"]


def test_an_interpreter_without_the_package_says_what_to_install(bare_python):
    with pytest.raises(ConfigError) as caught:
        check(bare_python)
    assert str(caught.value) == (
        f"airflow-mlops-provider is not installed for {bare_python}: "
        f"{bare_python} -m pip install 'airflow-mlops-provider=={__version__}' with the extras of its steps"
    )


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (None, "{} cannot be started: No such file or directory; give the path of a Python"),
        ("#!/bin/sh\nexit 10\n", "{} is older than Python 3.11"),
        ("#!/bin/sh\nexit 2\n", "{} is no Python that runs: it ended with exit code 2"),
        ("#!/bin/sh\necho hello\n", "{} gave no description of itself: 'hello\\n'"),
    ],
)
def test_what_is_no_such_python_is_said(tmp_path, body, error):
    python = tmp_path / "python"
    if body is not None:
        python.write_text(body)
        python.chmod(0o755)
    with pytest.raises(ConfigError) as caught:
        check(str(python))
    assert str(caught.value) == error.format(python)

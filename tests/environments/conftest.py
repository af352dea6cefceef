"""The environments that users have, with the wheel that they install."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.environments.airflow_cli import Airflow
from tests.environments.make_env import make_env, run, uv

NAME = "airflow-mlops-provider"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(2400))  # who is first installs an environment


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--wheel", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def plain_airflow():
    """An Airflow with nothing of ours."""
    python = make_env("airflow")
    uv("pip", "uninstall", "--python", python, NAME)
    return python


@pytest.fixture(scope="session")
def frozen(plain_airflow, wheel):
    """What is installed there, before and after the wheel."""
    before = freeze(plain_airflow)
    # pip itself, with all that it may resolve: that is what people run.
    run(plain_airflow, "-m", "pip", "install", "--quiet", "--root-user-action=ignore", wheel)
    return before, freeze(plain_airflow)


@pytest.fixture(scope="session")
def base(frozen, plain_airflow):
    """An Airflow with the base wheel and none of its tools."""
    return plain_airflow


@pytest.fixture(scope="session")
def tools(wheel):
    """The tools and the wheel, without Airflow."""
    return with_wheel("tools", wheel)


@pytest.fixture(scope="session")
def lowest(wheel):
    """Everything at its lower bound, and the wheel."""
    return with_wheel("lowest", wheel)


@pytest.fixture(scope="session")
def torch_python(wheel):
    """PyTorch and what trains, judges and scores with it."""
    python = with_wheel("torch", wheel)
    # By pip: a machine may hold a build for the CPU where pip's own settings say, which uv does not read.
    run(python, "-m", "pip", "install", "--quiet", "--root-user-action=ignore", "torch==2.13.0")
    return python


@pytest.fixture(scope="session")
def migrated(base, tmp_path_factory):
    """A database that is made once; each Airflow takes a copy."""
    home = tmp_path_factory.mktemp("migrated")
    Airflow(base, home, home / "dags").run("db", "migrate")
    return home / "airflow.db"


@pytest.fixture(scope="session")
def new_airflow(base, migrated, tmp_path_factory):
    """Make an Airflow with the base wheel and the given files below its dags folder."""

    def make(files, **options):
        home = tmp_path_factory.mktemp("airflow")
        for name, text in files.items():
            path = home / "dags" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        shutil.copy(migrated, home)
        return Airflow(base, home, home / "dags", **options)

    return make


def with_wheel(name, wheel):
    python = make_env(name)
    uv("pip", "install", "--python", python, "--no-deps", "--compile-bytecode", "--reinstall", wheel)
    return python


def freeze(python):
    return set(uv("pip", "freeze", "--python", python).splitlines())

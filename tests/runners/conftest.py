from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.runners import RUNNERS
from airflow_mlops_provider.runners.interpreter import Interpreter

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory):
    """A folder as pip leaves it: the module and its entry point."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(HERE / "tiny_steps.py", site)
    info = site / "tiny_steps-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-steps\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[airflow_mlops.steps]\ntiny = tiny_steps:TINY\n")
    return site


def make_python(folder: Path, *paths: str) -> str:
    """Make an environment of its own whose packages are those of `paths`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "paths.pth").write_text("\n".join(paths))
    return str(folder / "bin" / "python")


@pytest.fixture(scope="session")
def tools_python(tmp_path_factory, tiny_site):
    """The interpreter of another environment that has this package, its tools and the tiny step."""
    ours = str(HERE.parents[1])
    return make_python(tmp_path_factory.mktemp("env") / "tools", ours, sysconfig.get_path("purelib"), str(tiny_site))


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """An interpreter without this package."""
    return make_python(tmp_path_factory.mktemp("env") / "bare")


@pytest.fixture(params=RUNNERS)
def runner(request, tools_python, tiny_site, monkeypatch):
    """Every runner, where the tiny step is installed."""
    monkeypatch.syspath_prepend(tiny_site)
    found = RUNNERS[request.param]
    return replace(found, python=tools_python) if isinstance(found, Interpreter) else found


def tiny_request(do: str, **spec) -> Request:
    connections = {"db": {"login": "ann", "password": "hunter2", "extra": {"api_token": "s3cr3t/x"}}}
    return Request("tiny", {"pipeline": "p", "lake": "l", "do": do, **spec}, "key-1", connections=connections)


@pytest.fixture(name="tiny_request", scope="session")
def _tiny_request():
    return tiny_request


@pytest.fixture(name="make_python", scope="session")
def _make_python():
    return make_python

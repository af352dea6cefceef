from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners import RUNNERS, runner_for
from airflow_mlops_provider.runners.interpreter import Interpreter


def test_local_is_this_process():
    assert runner_for("local") is RUNNERS["local"]


def test_a_python_is_an_interpreter():
    assert runner_for({"python": "/opt/tools/bin/python"}) == Interpreter("/opt/tools/bin/python")


@pytest.mark.parametrize(
    "runs_on",
    [
        "python",
        "kubernets",
        "",
        None,
        1,
        {},
        {"python": 3},
        {"python": "python3"},
        {"python": "/p", "nice": 5},
        ["local"],
    ],
)
def test_anything_else_is_refused_with_the_way_out(runs_on):
    with pytest.raises(ConfigError) as caught:
        runner_for(runs_on)
    assert str(caught.value) == (f"runs_on: {runs_on!r} is neither `local` nor `{{python: /absolute/path/to/python}}`")


def test_importing_the_runners_and_the_worker_loads_no_library():
    code = (
        "import sys, airflow_mlops_provider.runners, airflow_mlops_provider.runners.worker;"
        "print(sorted({'pydantic', 'pyarrow', 'airflow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"

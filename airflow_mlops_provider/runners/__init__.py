"""Where and how a step runs: one module a runner, one protocol for all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners.base import Runner
from airflow_mlops_provider.runners.in_process import InProcess
from airflow_mlops_provider.runners.interpreter import Interpreter

__all__ = ["RUNNERS", "Runner", "runner_for"]

RUNNERS: dict[str, Runner] = {
    "local": InProcess(),
    "python": Interpreter(),
}


def runner_for(runs_on: str | Mapping[str, str]) -> Runner:
    """Return the runner that `runs_on` names: `local`, or `{"python": "/path/to/python"}`.

    Whether an interpreter is allowed is checked by the caller. Raises ConfigError on anything else.
    """
    if runs_on == "local":
        return RUNNERS["local"]
    python = runs_on.get("python") if isinstance(runs_on, Mapping) and len(runs_on) == 1 else None
    if not isinstance(python, str) or not Path(python).is_absolute():
        raise ConfigError(f"runs_on: {runs_on!r} is neither `local` nor `{{python: /absolute/path/to/python}}`")
    return Interpreter(python)

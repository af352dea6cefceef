"""CPU seconds and peak memory of one piece of work in a process of its own, and medians of pairs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Figure", "Side", "pairs", "run_child"]

ROOT = Path(__file__).parents[2]
# One thread each where a library would spin: two threads that wait on each other cost CPU and do no work.
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PYTHONWARNINGS": "ignore",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
}


@dataclass(frozen=True)
class Side:
    """One side of a comparison: `module:function` of tests.bench and its arguments (plain JSON).

    The function gets a folder of its own (a copy of `template`, where one is named) and does the work once. `settle`
    is a module that is run on the folder first, in another process and off the clock.
    """

    function: str
    arguments: Mapping[str, Any]
    template: str | None = None
    settle: str | None = None


@dataclass(frozen=True)
class Figure:
    """Medians: CPU seconds of the first call in a process (`cold`, imports and all) and of later ones (`warm`).

    `mb` is the peak memory of the process, or of the largest of its children, after the first call.
    """

    cold: float
    warm: float
    mb: float


def json_of(module: str, arguments: list[Any], environment: Mapping[str, str]) -> Any:
    """Run `python -m tests.bench.MODULE` with `arguments` as JSON, and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", json.dumps(arguments)],
        cwd=ROOT,
        env=os.environ | SETTINGS | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_child(side: Side, calls: int = 2) -> Figure:
    """Run a side in a fresh process. Raises RuntimeError with its last words if it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = json.dumps({**asdict(side), "folder": folder, "calls": calls})
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.child", given],
            cwd=ROOT,
            env={**environment, **SETTINGS, "AIRFLOW_HOME": f"{folder}/airflow"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{side.function} ended with {done.returncode}: {done.stderr[-3000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Figure(found["cpu"][0], statistics.median(found["cpu"][1:] or found["cpu"]), found["mb"])


def pairs(sides: Mapping[str, Side], n: int, calls: int = 2) -> dict[str, Figure]:
    """Run every side `n` times in turn (A B A B), so that what slows the machine meets all; return the medians."""
    found: dict[str, list[Figure]] = {name: [] for name in sides}
    for _ in range(n):
        for name, side in sides.items():
            found[name].append(run_child(side, calls))
    return {name: _median(figures) for name, figures in found.items()}


def _median(figures: list[Figure]) -> Figure:
    return Figure(*(statistics.median(getattr(f, part) for f in figures) for part in ("cold", "warm", "mb")))

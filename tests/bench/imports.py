"""What operators and factory add to a process that has airflow.sdk already."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator

from tests.bench.measure import ROOT
from tests.bench.row import Row

__all__ = ["rows"]

GOAL_MS = 50
_CHILD = """
import json, pkgutil, sys, time
import airflow.sdk
airflow.sdk.BaseOperator, airflow.sdk.DAG, airflow.sdk.BaseSensorOperator, airflow.sdk.BaseNotifier
known, began = set(sys.modules), time.process_time()
import airflow_mlops_provider.factory.build
import airflow_mlops_provider.operators as operators
import importlib
for module in pkgutil.iter_modules(operators.__path__, operators.__name__ + "."):
    importlib.import_module(module.name)
print(json.dumps([time.process_time() - began, sorted(set(sys.modules) - known)]))
"""


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield CPU milliseconds of importing every operator and the factory, and the modules that came with them."""
    found = [_once() for _ in range(max(3, given.repeats))]
    took = statistics.median(seconds for seconds, _ in found) * 1000
    modules = found[0][1]
    own = [name for name in modules if name.startswith("airflow_mlops_provider")]
    yield Row(
        name="import_operators_factory",
        ours=round(took, 1),
        unit="CPU ms",
        n=len(found),
        command="",
        goal=f"<= {GOAL_MS} ms over airflow.sdk",
        met=took <= GOAL_MS,
        note=f"{len(modules)} modules, {len(own)} of them this package's",
    )


def _once() -> tuple[float, list[str]]:
    done = subprocess.run([sys.executable, "-c", _CHILD], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    return seconds, modules

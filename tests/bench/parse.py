"""What the DAG processor spends on `dags/`: a child forked from a process that has Airflow imported reads it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench import handwritten
from tests.bench.measure import ROOT
from tests.bench.row import Row

__all__ = ["rows"]

_MANY = 20


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield CPU milliseconds of reading `dags/` once, and of a folder of twenty such pipelines.

    The floor has the same tasks as empty operators in plain Python, the peer the same by dag-factory. No plan is
    kept from one reading to the next, but in the rows `..._cached`: those are what a DAG processor pays again and
    again, and every task's process once.
    """
    with tempfile.TemporaryDirectory(prefix="bench-parse-") as home:
        for name, copies in (("parse_dags", 1), (f"parse_{_MANY}_pipelines", _MANY)):
            folders = _folders(Path(home, name), copies)
            for kept, ending in ((False, ""), (True, "_cached")):
                found = _measure(folders, Path(home, "airflow"), max(3, given.repeats), kept=kept)
                yield _row(f"{name}{ending}", found, given, copies)


def _folders(home: Path, copies: int) -> dict[str, str]:
    plan = handwritten.flights()
    folders = {"ours": home / "ours", "floor": home / "floor"}
    if importlib.util.find_spec("dagfactory"):
        folders["peer"] = home / "peer"
    for side, folder in folders.items():
        folder.mkdir(parents=True)
        for i in range(copies):
            handwritten.write(side, folder, plan, i)
    return {side: str(folder) for side, folder in folders.items()}


def _measure(folders: dict[str, str], airflow_home: Path, n: int, *, kept: bool) -> dict[str, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.parse_child", json.dumps([folders, str(airflow_home), n, kept])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"parse_child ended with {done.returncode}: {done.stderr[-3000:]}")
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(name: str, found: dict[str, list[dict[str, Any]]], given: argparse.Namespace, copies: int) -> Row:
    took = {side: statistics.median(run["cpu"] for run in runs) * 1000 for side, runs in found.items()}
    modules = {side: runs[0]["modules"] for side, runs in found.items()}
    said = ", ".join(f"{side} {len(names)}" for side, names in modules.items())
    missing = "" if "peer" in took else "; no peer: dag-factory is not installed here"
    return Row(
        name=name,
        **{side: round(ms, 2) for side, ms in took.items()},
        **{f"{side}_mb": round(max(run["mb"] for run in runs)) for side, runs in found.items()},
        ratio=round(took["ours"] / took["floor"], 3),
        unit="CPU ms",
        n=len(found["ours"]),
        command="",
        note=f"{copies} files of {found['ours'][0]['tasks'] // copies} tasks; imported modules: {said}{missing}",
    )

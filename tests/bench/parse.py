"""What Airflow spends on pipeline files: its DAG processor again and again, and each task's process once."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import handwritten
from tests.bench.measure import ROOT
from tests.bench.row import Row
from tests.environments.make_env import uv

__all__ = ["rows"]

_PEER = "dag-factory==1.1.0"
_MANY = (1, 20, 1000)


@dataclass(frozen=True)
class Reading:
    """What a fresh child reads: the whole folder or `file`, for a task of `dag` where one is named.

    `kept`: with the plan of an earlier reading; `changed`: and `file` was edited since.
    """

    name: str
    kept: bool = True
    changed: bool = False
    file: str | None = None
    dag: str | None = None
    goal: str = ""
    met: Callable[[float, float, float], bool] | None = None  # of ours and the floor in ms, and the ratio of memory


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield CPU milliseconds of a forked child that reads pipelines like the demo's, four DAGs and 15 tasks a file.

    The floor is the same DAGs written by hand with the same operators, the peer the same tasks as empty operators in
    YAML for dag-factory, which goes into a folder of the bench's own.
    """
    with tempfile.TemporaryDirectory(prefix="bench-parse-") as home:
        uv("pip", "install", "--no-deps", "--target", f"{home}/peer", _PEER)
        for copies in _MANY:
            folders = _folders(Path(home, str(copies)), copies)
            for reading in _readings(copies):
                found = _measure(folders, home, reading, max(3, given.repeats))
                yield _row(reading, found, copies)


def _readings(copies: int) -> Iterator[Reading]:
    name = "parse_dags" if copies == 1 else f"parse_{copies}_pipelines"
    cold, warm = "<= 2 x floor, memory <= 1.15 x", "<= 1.2 x floor, memory <= 1.15 x"
    if copies == 1:
        yield Reading(name, kept=False)
        yield Reading(f"{name}_cached", goal="<= 20 ms over floor", met=lambda ours, floor, _: ours - floor <= 20)
    else:
        yield Reading(name, kept=False, goal=cold, met=lambda ours, floor, memory: ours <= 2 * floor and memory <= 1.15)
        yield Reading(
            f"{name}_cached", goal=warm, met=lambda ours, floor, memory: ours <= 1.2 * floor and memory <= 1.15
        )
    if copies != 20:
        one = {"file": "flights.py", "dag": "flights-train"}
        task = Reading(f"task_process_of_{copies}", **one, goal="<= 30 ms", met=lambda ours, _, __: ours <= 30)
        yield task
        yield Reading(f"parse_changed_of_{copies}", file="flights.py", changed=True)


def _folders(home: Path, copies: int) -> dict[str, str]:
    plan = handwritten.flights()
    folders = {side: home / side for side in ("ours", "floor", "peer")}
    for side, folder in folders.items():
        folder.mkdir(parents=True)
        for i in range(copies):
            handwritten.write(side, folder, plan, i)
    return {side: str(folder) for side, folder in folders.items()}


def _measure(folders: dict[str, str], home: str, reading: Reading, n: int) -> dict[str, list[dict[str, Any]]]:
    what = {"file": reading.file, "dag": reading.dag, "kept": reading.kept, "changed": reading.changed}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.parse_child", json.dumps([folders, home, n, what])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"parse_child ended with {done.returncode}: {done.stderr[-3000:]}")
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(reading: Reading, found: dict[str, list[dict[str, Any]]], copies: int) -> Row:
    took = {side: statistics.median(run["cpu"] for run in runs) * 1000 for side, runs in found.items()}
    peak = {side: max(run["mb"] for run in runs) for side, runs in found.items()}
    modules = ", ".join(f"{side} {len(runs[0]['modules'])}" for side, runs in found.items())
    tasks = found["ours"][0]["tasks"]
    return Row(
        name=reading.name,
        **{side: round(ms, 2) for side, ms in took.items()},
        **{f"{side}_mb": round(mb) for side, mb in peak.items()},
        ratio=round(took["ours"] / took["floor"], 3),
        unit="CPU ms",
        n=len(found["ours"]),
        command="",
        goal=reading.goal,
        met=None if reading.met is None else reading.met(took["ours"], took["floor"], peak["ours"] / peak["floor"]),
        note=f"{copies} files, {tasks} tasks read; imported modules: {modules}",
    )

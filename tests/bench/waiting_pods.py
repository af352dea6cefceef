"""What 500 waiting pods cost the triggerer, and how soon it knows of a pod's end: Airflow's own trigger beside ours."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.bench.measure import json_of
from tests.bench.row import Row

__all__ = ["rows"]

PODS = 500
# A look at each pod's log, every half a minute, is among what is measured.
_SECONDS = 30
_ENDS = 100


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the share of a core, the memory, and median and 99th percentile from a pod's end to the event."""
    found = {side: [] for side in ("ours", "peer")}
    for _ in range(given.repeats):
        for side, runs in found.items():
            runs.append(_run(side))
    n = given.repeats
    pending = [_run("ours", "Pending", 0)["share"] for _ in range(given.repeats)]
    note = f"{PODS} running pods in one triggerer, poll_interval 2 s; peer: KubernetesPodTrigger with the same pods"
    share, more = _medians(found, "share"), _medians(found, "mb")
    yield Row(
        *("waiting_pods_cpu", share["ours"], "% of a core", n, ""),
        peer=share["peer"],
        ratio=round(share["ours"] / share["peer"], 3),
        goal="<= 25 % of a core",
        met=share["ours"] <= 25,
        note=f"{note}; ours reads each log once in {_SECONDS} s, the peer by default never",
    )
    yield Row(
        *("pending_pods_cpu", round(statistics.median(pending), 1), "% of a core", n, ""),
        goal="<= 25 % of a core",
        met=statistics.median(pending) <= 25,
        note=f"{PODS} pods that no node takes",
    )
    yield Row(
        *("waiting_pods_memory", more["ours"], "MB more", n, ""),
        peer=more["peer"],
        ratio=round(more["ours"] / more["peer"], 3),
        goal="<= 300 MB",
        met=more["ours"] <= 300,
        note="than a triggerer without triggers, Kubernetes' clients included",
    )
    for part, rank in (("p50", 0.5), ("p99", 0.99)):
        late = {side: _ranked(runs, rank) for side, runs in found.items()}
        yield Row(
            *(f"waiting_pods_end_{part}", late["ours"], f"s, {part}", n * _ENDS, ""),
            peer=late["peer"],
            ratio=round(late["ours"] / late["peer"], 3),
            goal="<= peer",
            met=late["ours"] <= late["peer"],
            note="from the end of a pod's process to the event",
        )


def _run(side: str, phase: str = "Running", ends: int = _ENDS) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-waiting-", ignore_cleanup_errors=True) as home:
        arguments = [home, side, phase, PODS, _SECONDS, ends]
        found: dict[str, Any] = json_of("waiting_pods_child", arguments, {"AIRFLOW_HOME": f"{home}/airflow"})
    return found


def _medians(found: dict[str, list[dict[str, Any]]], key: str) -> dict[str, float]:
    return {side: round(statistics.median(run[key] for run in runs), 1) for side, runs in found.items()}


def _ranked(runs: list[dict[str, Any]], rank: float) -> float:
    late = sorted(lateness for run in runs for lateness in run["late"])
    return round(late[int(rank * (len(late) - 1))], 3)

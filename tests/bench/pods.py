"""What our operator adds to a pod: KubernetesPodOperator itself runs the very same one."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator

from tests.bench.measure import json_of
from tests.bench.row import Row

__all__ = ["rows"]

_MOST_S = 0.5
# What is no later to anybody who waits for a pod.
_CHANCE_S = 0.2


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield wall seconds of a pod's task in a worker, and from a pod's end to success."""
    with tempfile.TemporaryDirectory(prefix="bench-pods-", ignore_cleanup_errors=True) as home:
        found = json_of("pods_child", [home, given.repeats], {"AIRFLOW_HOME": f"{home}/airflow"})
    yield _row("pod_step", found["step"], f"<= floor + {_MOST_S:g} s", _MOST_S, "of a pod that sleeps a second")
    yield _row(
        "pod_end",
        found["end"],
        f"<= floor + {_CHANCE_S:g} s",
        _CHANCE_S,
        "from the trigger's event, the same for both, to the task's success",
    )


def _row(name: str, found: dict[str, list[float]], goal: str, most_s: float, note: str) -> Row:
    took = {side: statistics.median(times) for side, times in found.items()}
    more = took["ours"] - took["floor"]
    return Row(
        name=name,
        **{side: round(seconds, 3) for side, seconds in took.items()},
        ratio=round(took["ours"] / took["floor"], 3),
        unit="wall s",
        n=len(found["ours"]),
        command="",
        goal=goal,
        met=more <= most_s,
        note=f"{more:+.2f} s {note}; floor: KubernetesPodOperator with the same pod",
    )

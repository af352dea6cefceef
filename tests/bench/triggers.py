"""What a thousand deferred sensors of one table cost the triggerer, and how soon they hear of a new version."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.bench.measure import json_of
from tests.bench.row import Row

__all__ = ["rows"]

TRIGGERS = 1000
_SECONDS = 15
_VERSIONS = 6


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the share of a core, the memory, and the 99th percentile from a written version to the event."""
    found = [_run() for _ in range(given.repeats)]
    share, idle, more = (statistics.median(one[key] for one in found) for key in ("share", "idle", "mb"))
    late = sorted(lateness for one in found for lateness in one["late"])
    last = late[int(0.99 * (len(late) - 1))]
    n = given.repeats
    note = f"{TRIGGERS} triggers of one table, poke_interval 1 s; floor: as many that wake once a second and do nothing"
    yield Row(
        *("triggers_cpu", round(share, 2), "% of a core", n, ""),
        floor=round(idle, 2),
        ratio=round(share / idle, 2) if idle else None,
        goal="<= 3 % of a core",
        met=share <= 3,
        note=note,
    )
    yield Row("triggers_memory", round(more, 1), "MB more", n, "", goal="<= 30 MB", met=more <= 30, note=note)
    yield Row("triggers_event", round(last, 3), "s, p99", len(late), "", goal="<= 2 s", met=last <= 2, note=note)


def _run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-triggers-") as home:
        arguments = [home, TRIGGERS, _SECONDS, _VERSIONS]
        found: dict[str, Any] = json_of("triggers_child", arguments, {"AIRFLOW_HOME": f"{home}/airflow"})
    return found

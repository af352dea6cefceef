"""What a step's operator adds to Airflow's own cost of a task: `dag.test()` of both, in turn, in one process."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import json_of
from tests.bench.row import Row

__all__ = ["rows"]

TASKS = 15
_DAGS = {
    "ours": """
from airflow.sdk import DAG
from tests.bench.trivial import TrivialOperator

with DAG("ours", schedule=None):
    above = None
    for i in range({tasks}):
        task = TrivialOperator(task_id=f"t{{i}}", bundle=".", lake="lake", retries=0)
        above = above and (above >> task) or task
""",
    "floor": """
from airflow.sdk import DAG, task

@task
def nothing():
    return {{"done": True}}

with DAG("floor", schedule=None):
    above = None
    for i in range({tasks}):
        one = nothing.override(task_id=f"t{{i}}", retries=0)()
        above = above and (above >> one) or one
""",
}


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield CPU milliseconds a task: an operator whose step does nothing against a bare @task."""
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as home:
        folder = Path(home, "dags")
        folder.mkdir()
        for side, text in _DAGS.items():
            (folder / f"{side}.py").write_text(text.format(tasks=TASKS))
        found = json_of("overhead_child", [str(folder), given.repeats], _settings(home))
    took = {side: statistics.median(runs) / TASKS * 1000 for side, runs in found.items()}
    yield Row(
        name="step_overhead",
        **{side: round(ms, 1) for side, ms in took.items()},
        ratio=round(took["ours"] / took["floor"], 3),
        unit="CPU ms a task",
        n=given.repeats,
        command="",
        note=f"{took['ours'] - took['floor']:+.1f} ms a task over a bare @task; {TASKS} tasks a run",
    )


def _settings(home: str) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__DAGS_FOLDER": f"{home}/dags",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only for measuring" * 4,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }

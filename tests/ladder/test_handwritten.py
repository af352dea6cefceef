"""The demo's handwritten DAG: its sensor starts the training where the flights changed, and not where they did not."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "dags" / "handwritten.py"
MODEL = "flight_delay_by_hand"


def flights(month: int, *, shift: float = 0.0) -> pa.Table:
    """Return thirty days of flights, whose distance decides whether they are late; `shift` moves the distance."""
    draw, count = np.random.default_rng(month), 30 * 40
    start = datetime(2013, month, 1, 12, tzinfo=UTC)
    distance = draw.normal(1000 + shift, 200, count)
    return pa.table(
        {
            "flight_id": [f"{month}-{n}" for n in range(count)],
            "scheduled_at": pa.array(
                [start + timedelta(days=n // 40, minutes=n % 40) for n in range(count)], pa.timestamp("us", tz="UTC")
            ),
            "dow": draw.integers(0, 7, count),
            "sched_min": draw.integers(300, 1400, count),
            "holiday_distance": draw.integers(0, 30, count),
            "sched_flights": draw.integers(10, 30, count),
            "distance": distance,
            "carrier": draw.choice(["UA", "B6"], count),
            "origin": draw.choice(["EWR", "JFK", "LGA"], count),
            "is_late": draw.random(count) < 1 / (1 + np.exp((1000 - distance) / 100)),
        }
    )


@pytest.fixture
def by_hand(site, mlflow_client, tmp_path):
    """Return a function that adds a month of flights and lets the DAG run once."""
    quick = FILE.read_text().replace("poke_interval=60", "poke_interval=1").replace("timeout=300", "timeout=2")
    (site.dags / "handwritten.py").write_text(quick)
    mlflow_client.create_experiment(MODEL, artifact_location=str(tmp_path / "artifacts"))

    def run(month: int, **given):
        site.lake.write_once("flight_labels", flights(month, **given), app=f"month {month}")
        return site.run("handwritten")

    return run


@pytest.mark.slow
def test_drift_starts_the_training_once(by_hand, mlflow_client):
    assert set(by_hand(1).tasks.values()) == {"success", "skipped"}  # nothing is known yet that it could differ from
    changed = by_hand(2, shift=800)
    assert set(changed.tasks.values()) == {"success"}
    assert changed.results["drift"]["batches"][0]["max_column"] == "distance"
    assert str(mlflow_client.get_model_version_by_alias(MODEL, "champion").version) == "1"

    # The champion has seen the change, and a month like both that it saw is no drift.
    quiet = by_hand(3, shift=400)
    assert quiet.results["seen_by_champion"]["version"] == 2
    assert {task: quiet.tasks[task] for task in ("drift", "train", "promote")} == dict.fromkeys(
        ("drift", "train", "promote"), "skipped"
    )


def test_it_parses_without_any_tool_and_waits_for_a_person(site):
    (site.dags / "handwritten.py").write_text(FILE.read_text())
    dag = site.read_dags().dags["handwritten"]
    assert (type(dag.timetable).__name__, dag.is_paused_upon_creation) == ("NullTimetable", True)
    code = (
        f"import runpy, sys; import airflow.sdk; before = set(sys.modules); runpy.run_path({str(FILE)!r}); "
        "tools = {'duckdb', 'pyarrow', 'pandas', 'mlflow', 'deltalake', 'sklearn', 'airflow_mlops_provider.factory'}; "
        "print(sorted(tools & {m.split('.')[0] for m in set(sys.modules) - before} | tools & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr

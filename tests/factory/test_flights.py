"""The demo's own file."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops_provider.factory.check import lint
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan import plan

ROOT = Path(__file__).parents[2]
FILE = ROOT / "dags" / "flights.yaml"


def test_it_is_sound_with_its_suites_and_functions() -> None:
    assert lint(FILE, bundle=ROOT, config=FactoryConfig()) == []


def test_it_makes_four_dags_over_all_of_2013() -> None:
    found = plan(FILE, bundle=ROOT, config=FactoryConfig())

    assert [dag.dag_id for dag in found.dags] == ["flights-data", "flights-score", "flights-monitor", "flights-train"]
    schedule = found.dag("flights-data").schedule
    assert (schedule.cron, schedule.start, schedule.end) == ("@monthly", "2013-01-01", "2014-01-01")
    assert schedule.timezone == "America/New_York"
    assert "approval" not in [task.task_id for task in found.dag("flights-train").tasks]

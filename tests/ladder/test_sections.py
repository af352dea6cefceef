"""Rung 4: sections as groups of a handwritten DAG, between tasks of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow.csv
import pytest

from airflow_mlops_provider.exceptions import ConfigError
from tests.ladder.pages import blocks, visits

PAGE = blocks("4-sections.md")
SUITE = blocks("2-validate.md")["dags/expectations/visits.json"]


@pytest.fixture
def shop(site):
    """Return the site with the page's files, a suite and two nights' exports, of which the second misleads."""
    site.put({**PAGE, "dags/expectations/visits.json": SUITE})
    (site.dags / "exports").mkdir()
    # Twenty days each, other customers each night; the second night's rows teach the reverse, but for its holdout.
    first, second = visits(20, first="2024-12-13"), visits(20, first="2024-12-14", seed=1).to_pandas()
    second["churned"] ^= second["at"] < "2024-12-29"
    pyarrow.csv.write_csv(first, site.dags / "exports" / "2025-01-01.csv")
    second.to_csv(site.dags / "exports" / "2025-01-02.csv", index=False)
    return site


@pytest.mark.slow
def test_the_pages_dag_runs_the_sections_between_its_own_tasks(shop, mlflow_client):
    run = shop.run("nightly", datetime(2025, 1, 2, tzinfo=UTC))
    assert run.state == "success"
    assert set(run.tasks.values()) == {"success"}
    assert set(run.tasks) == {
        "export",
        *(f"data.{name}" for name in ("ingest", "validate", "maintain")),
        *(f"training.{name}" for name in ("train", "evaluate", "register", "promote")),
        "report",
    }
    assert run.results["data.validate"]["batch"] == "2025-01-01"
    assert str(mlflow_client.get_model_version_by_alias("churn", "champion").version) == "1"

    again = shop.run("nightly", datetime(2025, 1, 3, tzinfo=UTC))
    assert again.results["training.evaluate"]["verdict"] == "refused"
    assert {task for task, state in again.tasks.items() if state == "skipped"} == {"training.promote"}
    assert again.tasks["report"] == "success"


def test_a_group_has_the_tasks_of_the_files_own_dag(shop):
    from airflow_mlops_provider.factory.build import build_dags

    (shop.dags / "churn.py").write_text("")
    own = build_dags(str(shop.dags / "churn.py"))["churn-train"]
    nightly = shop.read_dags().dags["nightly"]
    for task in own.tasks:
        grouped = nightly.get_task(f"training.{task.task_id}")
        assert type(grouped) is type(task)
        for name in set(task.template_fields) - {"challenger", "trained", "verdict", "version"}:
            assert getattr(grouped, name) == getattr(task, name)
    assert nightly.get_task("training.evaluate").skip_if_refused == ["training.promote"]


def test_a_section_that_is_not_there_is_an_import_error(shop):
    source = PAGE["dags/nightly.py"].replace('"data"', '"monitoring"')
    (shop.dags / "nightly.py").write_text(source)
    (error,) = shop.read_dags().import_errors.values()
    assert f"{ConfigError.__name__}: churn.yaml has no section 'monitoring'; it has data, training" in error

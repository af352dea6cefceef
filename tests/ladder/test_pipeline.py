"""Rung 6: the smallest valid file, as Airflow reads it and as it runs without Airflow."""

from __future__ import annotations

import pyarrow.csv
import pytest

from airflow_mlops_provider.factory.check import lint
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.local import LocalRun
from airflow_mlops_provider.factory.plan import plan
from tests.ladder.pages import blocks, visits

PAGE = blocks("6-pipeline.md")


def test_airflow_gets_its_dags_and_keeps_its_own(site):
    site.put(PAGE)
    assert site.ids() == {"warehouse_load", "churn-data", "churn-train"}
    assert lint(site.dags / "churn.yaml", bundle=site.dags, config=FactoryConfig()) == []


def test_no_line_of_it_can_be_left_out(site):
    lines = PAGE["dags/churn.yaml"].splitlines(keepends=True)
    for n in range(len(lines)):
        site.put({"dags/churn.yaml": "".join(lines[:n] + lines[n + 1 :])})
        assert lint(site.dags / "churn.yaml", bundle=site.dags, config=FactoryConfig())


@pytest.mark.slow
def test_it_runs_from_the_data_to_a_champion(site, mlflow_client, monkeypatch):
    site.put(PAGE)
    (site.dags / "exports").mkdir()
    table = visits(1).select(["age", "spend", "churned"])
    pyarrow.csv.write_csv(table, site.dags / "exports" / "2025-01-01.csv")
    planned = plan(site.dags / "churn.yaml", bundle=site.dags, config=FactoryConfig(lake=site.lake.root))
    local = LocalRun.of(planned, site.dags, lambda task, message: None)

    ends = [*local.run("data", batch="2025-01-01"), *local.run("training")]

    assert [(end.task_id, end.status) for end in ends] == [
        (name, "succeeded") for name in ("ingest", "maintain", "train", "evaluate", "register", "promote")
    ]
    assert str(mlflow_client.get_model_version_by_alias("churn", "champion").version) == "1"

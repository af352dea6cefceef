"""The base wheel alone in an Airflow: nothing moves, the provider is there, a pipeline parses, no tool is needed."""

from __future__ import annotations

import json
import re

import pytest

pytestmark = [pytest.mark.environment, pytest.mark.slow]

SMALLEST = """
pipeline: smallest
data:
  schedule: "@daily"
  start: 2024-01-01
  ingest: {rows: {python_callable: include.rows.rows}}
training:
  dataset: {target: late}
  train: {estimator: sklearn.linear_model.LogisticRegression}
"""
LOADER = """
from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
"""
ROWS = """
def rows(batch):
    return []
"""
FILES = {"smallest.yaml": SMALLEST, "smallest.py": LOADER, "include/rows.py": ROWS}
# Packages of which the import, in a process that parses DAG files, would cost every user seconds.
TOOLS = {"pandas", "numpy", "pyarrow", "duckdb", "deltalake", "mlflow", "feast", "dbt", "sklearn", "ibis", "evidently"}


@pytest.fixture(scope="module")
def airflow(new_airflow):
    made = new_airflow(FILES)
    made.read_dags()
    return made


def test_installing_it_changes_no_installed_package(frozen):
    before, after = frozen
    assert not before - after
    (added,) = after - before
    assert added.startswith("airflow-mlops-provider")


def test_airflow_lists_the_provider_and_its_connection_types(airflow):
    providers = {row["package_name"] for row in airflow.json("providers", "list")}
    assert "airflow-mlops-provider" in providers
    hooks = {row["connection_type"]: row for row in airflow.json("providers", "hooks")}
    assert {"mlflow", "mlops_lake", "feast"} <= set(hooks)
    assert all(hooks[kind]["hook_name"] for kind in ("mlflow", "mlops_lake", "feast"))


def test_connection_types_have_forms(airflow):
    fields = {row["connection_parameter_name"] for row in airflow.json("providers", "widgets")}
    assert {"extra__mlflow__ui_url", "extra__mlops_lake__root", "extra__feast__feature_repo"} <= fields


def test_a_pipeline_parses_without_any_tool(airflow):
    assert airflow.json("dags", "list-import-errors") == []
    assert {row["dag_id"] for row in airflow.json("dags", "list")} == {"smallest-data", "smallest-train"}


def test_parsing_imports_no_tool(airflow):
    says = "import json, sys; import smallest; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    loaded = json.loads(airflow.python_says(says).splitlines()[-1])
    assert not TOOLS & set(loaded)


def test_a_task_whose_tool_is_missing_says_what_to_install(airflow):
    done = airflow.run("dags", "test", "smallest-data", "2024-01-01", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert re.search(r"not installed in .*: pip install 'airflow-mlops-provider\[lake\]'", said), said[-3000:]


def test_doctor_says_what_is_missing(airflow):
    found = json.loads(airflow.tool("airflow-mlops", "doctor", "--format", "json").stdout)
    assert found["airflow"].startswith("3.")
    assert set(found["missing"]) == {"lake", "mlflow", "feast", "dbt", "evidently", "s3"}

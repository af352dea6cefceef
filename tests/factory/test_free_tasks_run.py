"""Tasks of one's own in real runs: between stages, behind a refused batch, round a refused challenger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytestmark = [
    pytest.mark.slow,
    # MLflow's own, and one DAG id in several versions.
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning",
        "ignore::FutureWarning",
        "ignore::UserWarning",
        "ignore:Multiple rows returned with uselist=False",
    ),
]

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
BASH = "operator: airflow.providers.standard.operators.bash.BashOperator"
ROWS = "".join(f"{i},2026-01-{i // 4 + 1:02} 12:00:00,{i % 2},{i % 7}\n" for i in range(1, 121))
BUILD = """
from pathlib import Path
from airflow_mlops_provider.factory.build import file_dags

globals().update(file_dags(Path(__file__).parent / "shop.yaml", __file__))
"""
SHOP = f"""
pipeline: shop
data:
  schedule: "@monthly"
  start: 2026-01-01
  ingest: {{orders: {{files: "orders/{{batch}}.csv", unique_key: [id]}}}}
  validate: {{orders: {{max_failed: 0.1}}}}
training:
  dataset: {{target: late, event_timestamp: at, columns: [price]}}
  train: {{estimator: sklearn.dummy.DummyClassifier}}
  evaluate: {{holdout: 10d, gates: {{log_loss: {{at_most: BOUND}}}}}}
tasks:
  look: {{{BASH}, arguments: {{bash_command: "echo {{{{ ds }}}}"}}, after: ingest, before: validate}}
  tell: {{{BASH}, arguments: {{bash_command: "echo data"}}, after: validate}}
  paper: {{{BASH}, arguments: {{bash_command: "echo paper"}}, after: register, before: promote}}
  open: {{{BASH}, arguments: {{bash_command: "echo open"}}, after: promote}}
  both: {{{BASH}, arguments: {{bash_command: "echo both"}}, after: evaluate}}
"""


@pytest.fixture
def shop(dags, run_dag, monkeypatch, tmp_path, connect):
    """Return a function that runs one DAG of the shop."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_MODULES", "airflow.providers.standard")
    monkeypatch.setenv("AIRFLOW__MLOPS__LAKE", str(tmp_path / "lake"))
    extra = {"artifact_root": str(tmp_path)}
    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{tmp_path}/mlflow.db", extra=extra)
    (dags / "orders").mkdir()

    def run(dag_id: str, rows: str = ROWS, bound: float = 10.0):
        (dags / "orders" / "2026-01-01.csv").write_text(f"id,at,late,price\n{rows}")
        (dags / "shop.yaml").write_text(SHOP.replace("BOUND", str(bound)))
        # As in a task's process, where no other DAG of the file is built.
        monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)
        return run_dag(BUILD, logical_date=JANUARY if dag_id == "shop-data" else None)

    return run


def test_they_run_between_the_stages(shop):
    run = shop("shop-data")
    assert run.state == "success"
    assert run.tasks == dict.fromkeys(("ingest", "look", "validate", "tell", "maintain"), "success")
    assert run.pushed["look", "return_value"] == "2026-01-01"


def test_behind_a_refused_batch_they_do_not_run(shop):
    run = shop("shop-data", ROWS + ROWS)
    assert run.state == "failed"
    assert {name: run.tasks[name] for name in ("look", "validate", "tell")} == {
        "look": "success",
        "validate": "failed",
        "tell": "upstream_failed",
    }


@pytest.mark.parametrize(("bound", "then"), [(10.0, "success"), (0.0001, "skipped")])
def test_round_the_promotion_they_follow_the_verdict(shop, bound, then):
    assert shop("shop-data").state == "success"
    run = shop("shop-train", bound=bound)
    assert run.state == "success"
    assert {name: run.tasks[name] for name in ("register", "both")} == {"register": "success", "both": "success"}
    assert {run.tasks[name] for name in ("paper", "promote", "open")} == {then}

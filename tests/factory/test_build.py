"""A pipeline file as Airflow sees it: DAGs, schedules, errors, the same each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADER = """
from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
"""
SHOP = """
pipeline: shop
timezone: America/New_York
data:
  schedule: "@monthly"
  start: 2013-01-01
  end: 2014-01-01
  ingest:
    orders: {files: "orders/{batch}.csv", unique_key: [id]}
  validate:
    orders: {max_failed: 0.02}
training:
  dataset: {target: late}
  train: {estimator: sklearn.dummy.DummyClassifier}
  evaluate: {holdout: 0.2}
scoring: {dataset: orders}
monitoring:
  drift: {page: [price]}
  performance: {labels: orders, target: late, unique_key: [id], event_timestamp: at}
  retrain: {when: {calibration_gap: {abs_above: 0.04}}}
"""


@pytest.fixture
def pipeline(dags):
    """Return a function that puts a pipeline file and its loader into the bundle."""

    def put(name: str, text: str = SHOP) -> None:
        (dags / f"{name}.yaml").write_text(text)
        (dags / f"{name}.py").write_text(LOADER)

    return put


def serialized(bag) -> dict:
    from airflow.serialization.serialized_objects import DagSerialization

    return {dag_id: DagSerialization.to_dict(bag.dags[dag_id]) for dag_id in sorted(bag.dags)}


def test_one_file_gives_its_four_dags_with_their_schedules(pipeline, read_dags):
    from airflow.serialization.serialized_objects import DagSerialization

    pipeline("shop")
    bag = read_dags()
    assert bag.import_errors == {}
    back = {dag_id: DagSerialization.from_dict(data) for dag_id, data in serialized(bag).items()}
    kinds = {dag_id: type(dag.timetable).__name__ for dag_id, dag in back.items()}
    assert kinds == {
        "shop-data": "BatchTimetable",
        "shop-monitor": "AssetOrTimeSchedule",
        "shop-score": "AssetOrTimeSchedule",
        "shop-train": "NullTimetable",
    }
    assert all((dag.max_active_runs, dag.catchup) == (1, False) for dag in back.values())
    assert all(dag.fileloc.endswith("shop.py") for dag in back.values())
    asset_of = {dag_id: [a.uri for _, a in dag.timetable.asset_condition.iter_assets()] for dag_id, dag in back.items()}
    assert asset_of["shop-score"] == ["mlops://shop/data"]
    assert asset_of["shop-monitor"] == ["mlops://shop/score"]
    outlets = {t.task_id: [o.uri for o in t.outlets] for dag in back.values() for t in dag.tasks if t.outlets}
    assert outlets["score"] == ["mlops://shop/score"]


def test_the_tasks_are_those_of_the_plan_with_its_arguments(pipeline, read_dags, dags):
    from airflow_mlops_provider.factory.config import FactoryConfig
    from airflow_mlops_provider.factory.plan import plan
    from airflow_mlops_provider.factory.plan_data import references

    pipeline("shop")
    bag = read_dags()
    for dag_plan in plan(dags / "shop.yaml", bundle=dags, config=FactoryConfig()).dags:
        dag = bag.dags[dag_plan.dag_id]
        assert {t.task_id for t in dag.tasks} == {t.task_id for t in dag_plan.tasks}
        for planned in dag_plan.tasks:
            task = dag.get_task(planned.task_id)
            assert f"{type(task).__module__}.{type(task).__name__}" == planned.operator
            assert set(planned.upstream) <= task.upstream_task_ids
            for name, value in planned.arguments.items():
                if not list(references(value)):
                    assert getattr(task, name) == value
            if planned.doc:
                assert task.doc_md == f"```yaml\n{planned.doc}```"


def test_a_refused_challenger_skips_promotion_and_not_registration(pipeline, read_dags):
    pipeline("shop")
    train = read_dags().dags["shop-train"]
    assert train.get_task("evaluate").skip_if_refused == ["promote"]
    assert train.get_task("register").upstream_task_ids == {"train", "evaluate"}


def test_an_approval_waits_for_people_and_silence_is_a_no(pipeline, read_dags):
    pipeline("shop", SHOP.replace("training:\n", "training:\n  approval: {approvers: [risk], timeout: 3d}\n"))
    bag = read_dags()
    assert bag.import_errors == {}
    train = bag.dags["shop-train"]
    approval = train.get_task("approval")
    assert (approval.defaults, approval.response_timeout.days) == (["Reject"], 3)
    assert approval.assigned_users == [{"id": "risk", "name": "risk"}]
    assert approval.upstream_task_ids == {"register"}
    assert train.get_task("evaluate").skip_if_refused == ["approval", "promote"]
    assert serialized(bag)


def test_a_broken_file_is_its_own_import_error_and_hides_no_other(pipeline, read_dags):
    pipeline("shop")
    pipeline("broken", SHOP.replace("pipeline: shop", "pipeline: broken").replace("  drift:", "  drfit:"))
    bag = read_dags()
    assert set(bag.dags) == {"shop-data", "shop-score", "shop-monitor", "shop-train"}
    ((file, error),) = bag.import_errors.items()
    assert file.endswith("broken.py")
    assert "broken.yaml:18:3 monitoring: unknown key 'drfit'. Did you mean 'drift'?" in error


def test_a_loader_without_its_file_says_so(pipeline, read_dags, dags):
    pipeline("shop")
    (dags / "shop.yaml").rename(dags / "store.yaml")
    (error,) = read_dags().import_errors.values()
    assert "shop.py: no shop.yaml beside it" in error


def test_only_the_dag_of_a_tasks_process_is_built(pipeline, read_dags, monkeypatch):
    pipeline("shop")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "shop-score")
    assert set(read_dags().dags) == {"shop-score"}


def test_the_same_file_gives_the_same_dags_also_with_a_line_more(pipeline, read_dags):
    pipeline("shop")
    before = serialized(read_dags())
    pipeline("shop", "# a comment\n" + SHOP)
    assert serialized(read_dags()) == before
    pipeline("shop", SHOP.replace("0.02", "0.03"))
    changed = serialized(read_dags())
    assert {dag_id for dag_id in before if before[dag_id] != changed[dag_id]} == {"shop-data"}


def test_settings_of_airflow_cfg_hold(pipeline, read_dags, monkeypatch):
    pipeline("shop", SHOP + "environments: {prod: {lake: 's3://acme-ml'}}\n")
    monkeypatch.setenv("AIRFLOW__MLOPS__ENVIRONMENT", "prod")
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_ROOTS", "s3://acme-ml")
    bag = read_dags()
    assert bag.import_errors == {}
    assert bag.dags["shop-score"].get_task("score").lake == "s3://acme-ml"


ALERTS = """
from airflow.sdk import BaseNotifier

class ToFile(BaseNotifier):
    template_fields = ("path",)

    def __init__(self, path):
        super().__init__()
        self.path = path

    def notify(self, context):
        pass
"""


def test_the_files_notifier_is_given_to_every_step_with_its_events(pipeline, read_dags, dags):
    (dags / "shop_alerts.py").write_text(ALERTS)
    notify = "notify: {on: [refused, failed], notifier: shop_alerts.ToFile, arguments: {path: alerts.jsonl}}\n"
    pipeline("shop", SHOP + notify)
    bag = read_dags()
    assert bag.import_errors == {}
    validate = bag.dags["shop-data"].get_task("validate")
    assert validate.notify_on == ("refused", "failed")
    assert [notifier.path for notifier in validate.notify] == ["alerts.jsonl"]
    assert [type(callback).__name__ for callback in validate.on_failure_callback] == ["FailureCallback"]
    assert serialized(bag) == serialized(read_dags())


def test_reading_dags_imports_nothing_heavy(pipeline, dags):
    pipeline("shop")
    code = f"""
import sys
import airflow.sdk
from airflow.sdk import DAG, Asset, BaseHook, BaseOperator
before = set(sys.modules)
import runpy
runpy.run_path({str(dags / "shop.py")!r})
for noun in ("dataset", "drift", "features", "labels", "model", "performance"):
    __import__("airflow_mlops_provider.sensors." + noun)
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
print(sorted(new & {{"duckdb", "pyarrow", "pandas", "numpy", "mlflow", "deltalake", "sklearn", "ibis", "feast", "dbt",
                    "scipy", "evidently", "great_expectations", "fastapi", "sqlalchemy", "kubernetes"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ}, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.fixture
def plans(monkeypatch, tmp_path):
    """Return the folder where plans are kept, in an AIRFLOW_HOME that has none yet."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    return tmp_path / ".mlops_plans"


def test_dags_of_a_kept_plan_are_the_same_byte_for_byte(pipeline, read_dags, dags, plans):
    (dags / "shop_alerts.py").write_text(ALERTS)
    pipeline("shop", SHOP + "notify: {on: [failed], notifier: shop_alerts.ToFile, arguments: {path: a.jsonl}}\n")
    plans.write_text("no folder: nothing is kept")
    fresh = json.dumps(serialized(read_dags()))
    plans.unlink()
    made = json.dumps(serialized(read_dags()))
    (entry,) = (path for path in plans.iterdir() if path.name != "swept")
    written = entry.stat().st_ino
    assert json.dumps(serialized(read_dags())) == made == fresh
    assert entry.stat().st_ino == written


def test_a_broken_file_is_an_import_error_each_time_and_its_repair_is_seen(pipeline, read_dags, plans):
    pipeline("shop")
    assert read_dags().import_errors == {}
    pipeline("shop", SHOP.replace("target: late}\n", "tarket: late}\n"))
    assert ["tarket" in text for text in read_dags().import_errors.values()] == [True]
    assert ["tarket" in text for text in read_dags().import_errors.values()] == [True]
    pipeline("shop")
    assert read_dags().import_errors == {}


def test_a_kept_plan_loads_neither_contracts_nor_models(pipeline, dags, plans):
    pipeline("shop")
    code = f"""
import runpy, sys
runpy.run_path({str(dags / "shop.py")!r})
ours = [name.removeprefix("airflow_mlops_provider.") for name in sys.modules if "airflow_mlops_provider." in name]
print(*sorted(ours))
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.split()
        for _ in range(2)
    )
    assert {"contracts.train", "factory.models"} <= set(first)
    loaded = {name for name in second if name.partition(".")[0] in ("contracts", "steps", "runners")}
    loaded |= set(second) & {f"factory.{name}" for name in ("check", "load", "models", "planning", "rules", "sections")}
    assert loaded == set()

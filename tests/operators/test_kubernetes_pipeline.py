"""A pipeline file whose every step runs in a pod: ingest, validate, train, evaluate, register and promote."""

from __future__ import annotations

import sys

import pytest

from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.testing.cluster import Cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore:Using `httpx`"),
]

YAML = """
pipeline: pods
lake: {shared}/lake
defaults:
  retries: 1
  runs_on:
    kubernetes:
      image: acme/steps:1
      bundle: {shared}/bundle
      memory: 2Gi
      volumes: {{shared: {{claim: shared, mount_path: {shared}}}}}
data:
  schedule: "@monthly"
  start: 2013-01-01
  end: 2013-02-01
  ingest: {{visits: {{python_callable: visits.visits, unique_key: [id]}}}}
  validate: {{visits: {{max_failed: 0.1}}}}
training:
  dataset: {{target: bought, event_timestamp: at, columns: [age]}}
  train: {{estimator: sklearn.linear_model.LogisticRegression}}
  evaluate: {{holdout: 5d}}
"""
LOADER = """
from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
"""
SOURCE = """
import pandas


def visits(batch):
    at = pandas.date_range(batch.start, batch.end, freq="h", inclusive="left")
    age = [20 + i % 40 for i in range(len(at))]
    return pandas.DataFrame({"id": range(len(at)), "at": at, "age": age, "bought": [int(a % 3 == 0) for a in age]})
"""


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "visits.py").write_text(SOURCE)
    return tmp_path


@pytest.fixture
def cluster(shared, monkeypatch):
    with Cluster({"acme/steps:1": sys.executable}, claims={"shared": shared}) as cluster:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
        yield cluster


@pytest.fixture
def pipeline(airflow_db, dags, read_dags, shared, connect, monkeypatch):
    """Return the pipeline's DAGs by their section."""
    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{shared}/mlflow.db")
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_IMAGES", "acme/")
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_ROOTS", str(shared))
    monkeypatch.setattr("airflow_mlops_provider.triggers.kubernetes._EARLIEST_S", 0.0)
    for name, text in {"pods.yaml": YAML.format(shared=shared), "pods.py": LOADER, "visits.py": SOURCE}.items():
        (dags / name).write_text(text)
    bag = read_dags()
    assert not bag.import_errors
    return {dag_id.removeprefix("pods-"): dag for dag_id, dag in bag.dags.items()}


def test_a_model_is_trained_judged_and_promoted_in_pods(cluster, pipeline, shared):
    from datetime import UTC, datetime

    assert pipeline["data"].test(logical_date=datetime(2013, 1, 1, tzinfo=UTC)).state == "success"
    assert pipeline["train"].test().state == "success"
    (promotion,) = PromotionLedger(Lake(f"{shared}/lake"), "pods").history()
    assert (promotion.version, promotion.kind) == ("1", "promote")
    created = [call for call in cluster.calls if call.verb == "create" and call.path.endswith("/pods")]
    assert len(created) == len(["ingest", "validate", "maintain", "train", "evaluate", "register", "promote"])
    assert cluster.pods() == []

"""What is left of steps in pods is swept by label and age, and nothing else."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from airflow_mlops_provider.exceptions import ConfigError, TransientError
from airflow_mlops_provider.runners.sweep import sweep
from airflow_mlops_provider.testing.cluster import Cluster

HOUR = timedelta(hours=1)


@pytest.fixture
def cluster(monkeypatch):
    with Cluster({"python": sys.executable}) as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        yield cluster


def make(cluster, kind, name, **labels):
    container = {"name": "base", "image": "python", "command": ["python", "-c", "import time; time.sleep(60)"]}
    spec = {"spec": {"containers": [container], "terminationGracePeriodSeconds": 0}} if kind == "pods" else {}
    body = {"metadata": {"name": name, "labels": labels}, **spec}
    httpx.post(f"{cluster.url}/api/v1/namespaces/default/{kind}", json=body).raise_for_status()


def names(cluster, kind):
    items = httpx.get(f"{cluster.url}/api/v1/namespaces/default/{kind}").json()["items"]
    return [item["metadata"]["name"] for item in items]


@pytest.fixture
def filled(cluster):
    for kind in ("pods", "secrets"):
        make(cluster, kind, "ours", **{"mlops.step": "train"})
        make(cluster, kind, "others", dag_id="train")
    return cluster


def test_what_is_old_and_ours_is_deleted(filled):
    assert sweep("default", HOUR, datetime.now(UTC) + 2 * HOUR) == ["pod/ours", "secret/ours"]
    assert (names(filled, "pods"), names(filled, "secrets")) == (["others"], ["others"])


def test_what_is_young_stays(filled):
    assert sweep("default", HOUR, datetime.now(UTC)) == []
    assert names(filled, "pods") == ["others", "ours"]


def test_a_dry_run_only_says(filled):
    assert sweep("default", HOUR, datetime.now(UTC) + 2 * HOUR, dry_run=True) == ["pod/ours", "secret/ours"]
    assert names(filled, "secrets") == ["others", "ours"]


def test_an_api_that_says_no_is_named(cluster):
    cluster.away(30)
    with pytest.raises(TransientError, match="Kubernetes' API: 503"):
        sweep("default", HOUR, datetime.now(UTC))


def test_no_cluster_is_a_fault_of_the_configuration(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="no cluster: set KUBECONFIG"):
        sweep("default", HOUR, datetime.now(UTC))

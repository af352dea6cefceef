"""`code: bundle`: a pod runs the pipeline's files as they were when it was asked for, whatever becomes of them."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time

import pytest

from airflow_mlops_provider.contracts.pod import GpuClass, Pod
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.operators.kubernetes import KubernetesStepOperator
from airflow_mlops_provider.runners.kubernetes import manifest
from airflow_mlops_provider.testing.cluster import Cluster, Evict
from tests.pod_driver import BATCH, PodTask

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

DAG = """
from airflow.sdk import DAG
from airflow_mlops_provider.operators.kubernetes import KubernetesStepOperator

BATCH = {{"id": "b1", "start": "2024-01-01T00:00:00+00:00", "end": "2024-01-02T00:00:00+00:00", "timezone": "UTC"}}

with DAG({dag_id!r}, schedule=None):
    KubernetesStepOperator(
        task_id="ingest",
        step="ingest",
        spec={{"lake": {lake!r}, "batch": BATCH, "datasets": {{"rows": {{"python_callable": "sources_{name}.rows"}}}}}},
        pod={pod!r},
        deferrable=False,
        startup_check_interval_seconds=1,
    )
"""
SOURCE = """
import time
import pandas

def rows(batch):
    print("the source begins", flush=True)
    time.sleep({seconds})
    return pandas.DataFrame({{"id": range({count})}})
"""


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "lake").mkdir()
    with Cluster({"steps": sys.executable}, claims={"lake": tmp_path / "lake"}) as cluster:
        yield cluster


@pytest.fixture
def pods(cluster, dags, run_dag, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
    name = tmp_path.name
    volumes = {"lake": {"claim": "lake", "mount_path": str(tmp_path / "lake")}}

    def run(seconds=0, then=None, **pod):
        write(seconds, 2)
        if then is not None:
            threading.Thread(target=then, daemon=True).start()
        found = {"image": "steps", "code": "bundle", "volumes": volumes, **pod}
        return run_dag(DAG.format(dag_id=f"code_{name}", name=name, lake=str(tmp_path / "lake"), pod=found))

    def write(seconds, count):
        (dags / f"sources_{name}.py").write_text(SOURCE.format(seconds=seconds, count=count))

    run.write = write
    return run


def began(cluster):
    while not (running := [p for p in cluster.pods() if p["status"].get("phase") == "Running"]):
        time.sleep(0.05)
    return running[0]


def test_the_bundle_reaches_the_pod_and_is_written_once(pods, tmp_path):
    ended = pods()
    assert ended.state == "success"
    assert ended.pushed["ingest", "return_value"]["datasets"]["rows"]["rows"] == 2
    assert len(list((tmp_path / "lake" / "_code").glob("*.zip"))) == 1


def test_another_pod_of_the_same_try_runs_the_code_of_the_first(cluster, pods, tmp_path):
    def change_and_evict():
        name = began(cluster)["metadata"]["name"]
        pods.write(0, 5)
        cluster.inflict(Evict(), name)

    ended = pods(seconds=5, then=change_and_evict)
    assert ended.pushed["ingest", "return_value"]["datasets"]["rows"]["rows"] == 2
    assert len(list((tmp_path / "lake" / "_code").glob("*.zip"))) == 1


def test_the_log_says_what_the_pod_used(cluster, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
    (tmp_path / "lake" / "source.py").write_text(SOURCE.format(seconds=0, count=2))
    spec = {"lake": str(tmp_path / "lake"), "batch": BATCH, "datasets": {"rows": {"python_callable": "source.rows"}}}
    volumes = {"lake": {"claim": "lake", "mount_path": spec["lake"]}}
    pod = {"image": "steps", "bundle": spec["lake"], "memory": "8Gi", "volumes": volumes}
    # Airflow's own shows no INFO here.
    monkeypatch.setattr(KubernetesStepOperator, "log", logging.getLogger("used"))
    caplog.set_level("INFO")
    assert PodTask("used", {"step": "ingest", "spec": spec, "pod": pod, "deferrable": False}).run()
    assert re.search(r"used \d+ MiB of 8Gi, \d+ s", caplog.text)
    assert "memory: 8Gi is more than twice what was used" in caplog.text


def test_a_pod_is_told_what_its_devices_cost_and_where_its_code_is():
    classes = {"a100": GpuClass(price=2.5), "own": GpuClass()}
    request = Request("train", {}, "k")

    def environment(gpu, code=None):
        found = manifest(Pod(image="i", gpu=gpu, gpus=2), request, name="p", gpu_classes=classes, code=code)
        return {one["name"]: one["value"] for one in found["spec"]["containers"][0]["env"]}

    assert json.loads(environment("a100")["MLOPS_PRICE"]) == {"class": "a100", "devices": 2, "price": 2.5}
    assert json.loads(environment("own")["MLOPS_PRICE"])["price"] is None
    assert not {"MLOPS_PRICE", "MLOPS_CODE"} & set(environment(None))
    code = {"path": "_code/a.zip", "sha256": "a"}
    assert json.loads(environment(None, code)["MLOPS_CODE"]) == code

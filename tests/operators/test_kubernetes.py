"""Steps in pods: KubernetesPodOperator against the stand-in of Kubernetes' API, containers as real processes."""

from __future__ import annotations

import base64
import json
import sys

import httpx
import pytest

from airflow_mlops_provider.testing.cluster import Cluster, Evict, NodeLost, Preempt

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
        spec={{"lake": {lake!r}, "batch": BATCH, "datasets": {{"rows": {{"python_callable": "source.{function}"}}}}}},
        pod={pod!r},
        deferrable={deferrable},
        poll_interval=0.2,
        startup_check_interval_seconds=1,
        {more}
    )
"""
SOURCE = """
import os
import time

import pandas


def good(batch):
    print("reading", batch.id)
    return pandas.DataFrame({"id": [1, 2, 3]})


def slow(batch):
    time.sleep(6)
    return good(batch)


def shows(batch):
    print("environment of the source", dict(os.environ))
    return good(batch)


def bad(batch):
    raise ValueError("no such file")


def vanishes(batch):
    os._exit(0)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What Airflow and every pod see, at one path: the lakes and bundles of the tests."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def cluster(shared):
    with Cluster({"steps": sys.executable}, claims={"shared": shared}) as cluster:
        yield cluster


@pytest.fixture
def pods(cluster, run_dag, monkeypatch, shared, tmp_path):
    """Run the DAG; returns the run."""
    folder = shared / tmp_path.name
    (folder / "bundle").mkdir(parents=True)
    (folder / "bundle" / "source.py").write_text(SOURCE)
    monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
    # No supervisor here that could notice a deferral late.
    monkeypatch.setattr("airflow_mlops_provider.triggers.kubernetes._EARLIEST_S", 0.0)
    volumes = {"shared": {"claim": "shared", "mount_path": str(shared)}}

    def run(function="good", *, deferrable=True, more=""):
        pod = {"image": "steps", "bundle": str(folder / "bundle"), "interruptions": 2, "volumes": volumes}
        # Each its own DAG: Airflow keeps the versions of one.
        source = {"dag_id": f"pods_{folder.name}", "function": function, "deferrable": deferrable, "more": more}
        return run_dag(DAG.format(lake=str(folder / "lake"), pod=pod, **source))

    return run


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_step_in_a_pod_returns_what_it_returns_anywhere(pods, deferrable):
    ended = pods(deferrable=deferrable)
    assert ended.state == "success"
    assert ended.pushed["ingest", "return_value"]["datasets"]["rows"]["rows"] == 3


@pytest.mark.parametrize("deferrable", [False, True])
def test_what_a_users_function_raises_fails_the_task_at_once(pods, deferrable):
    ended = pods("bad", deferrable=deferrable, more="retries=2, retry_delay=__import__('datetime').timedelta(0),")
    assert (ended.state, ended.tries["ingest"]) == ("failed", 1)


def test_a_pod_that_ends_well_without_an_outcome_has_failed(pods):
    ended = pods("vanishes")
    assert ended.state == "failed"


@pytest.mark.parametrize("fault", [Evict(after_s=2), Preempt(after_s=2), NodeLost(after_s=2)])
def test_a_pod_that_the_cluster_took_away_is_replaced_in_the_same_try(cluster, pods, fault):
    cluster.script([fault])
    before = len(created(cluster))
    ended = pods("slow")
    assert (ended.state, ended.tries["ingest"]) == ("success", 1)
    assert len(created(cluster)) - before == 2


def test_a_pod_that_is_taken_away_for_ever_fails_in_the_end(cluster, pods):
    cluster.script([Evict()] * 3)
    before = len(created(cluster))
    assert pods("slow").state == "failed"
    assert len(created(cluster)) - before == 3


def created(cluster):
    return [call for call in cluster.calls if call.verb == "create" and call.path.endswith("/pods")]


def secrets(cluster):
    items = httpx.get(f"{cluster.url}/api/v1/namespaces/default/secrets").json()["items"]
    return {item["metadata"]["name"]: base64.b64decode(item["data"]["connections.json"]).decode() for item in items}


def test_connections_reach_the_pod_by_a_secret_that_leaves_with_it(cluster, pods, connect, capfd):
    connect("lake_default", conn_type="mlops_lake", login="me", password="planted-s3cret")
    ended = pods("shows", more="on_finish_action='keep_pod',")
    assert ended.state == "success"
    (pod,) = [pod for pod in cluster.pods() if pod["metadata"]["name"] == ended.pushed["ingest", "pod_name"]]
    held = secrets(cluster)
    assert "planted-s3cret" in held[pod["metadata"]["name"]]
    address = f"{cluster.url}/api/v1/namespaces/default/pods/{pod['metadata']['name']}"
    told = [json.dumps(pod), json.dumps({str(k): v for k, v in ended.pushed.items()}), rendered(), *capfd.readouterr()]
    told.append(httpx.get(f"{address}/log").text)
    assert not [text for text in told if "planted-s3cret" in text]
    assert "environment of the source" in told[-1]
    httpx.delete(address).raise_for_status()
    assert secrets(cluster) == {}


def rendered():
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return json.dumps(list(session.scalars(select(RenderedTaskInstanceFields.rendered_fields))), default=str)

"""Pods under an Airflow whose daemons die: each lives on, is found again, and goes when people or the clock say so."""

import sys

import pytest

from airflow_mlops_provider.testing.cluster import Cluster

pytestmark = pytest.mark.long

DAGS = ["pod-deferred", "pod-worker", "pod-hasty"]


@pytest.fixture(scope="module")
def cluster(live):
    with Cluster({"steps": sys.executable}, claims={"shared": live.bundle.parent}) as cluster:
        (live.bundle / "kubeconfig").write_text(cluster.kubeconfig.read_text())
        live.api.wait_for_dags(DAGS)
        for dag_id in DAGS:
            live.api.unpause(dag_id)
        yield cluster


def phases(cluster):
    """Return the pods' phases by their DAGs."""
    return {pod["metadata"]["labels"]["dag_id"]: pod["status"]["phase"] for pod in cluster.pods()}


def started(live, cluster, dag_id, state):
    """Start a run and return its id once its pod runs and the task waits for it."""
    run_id = live.start_run(dag_id)
    live.wait(f"the pod of {dag_id} runs", lambda: phases(cluster).get(dag_id) == "Running")
    live.wait(f"{dag_id} is {state}", lambda: live.states(dag_id, run_id)["step"] == state)
    # A trigger that no triggerer has taken up hears of nothing.
    (pod,) = [pod for pod in cluster.pods() if pod["metadata"]["labels"]["dag_id"] == dag_id]
    live.wait("it is looked at", lambda: any(call.path.endswith(pod["metadata"]["name"]) for call in cluster.calls))
    return run_id


def test_pods_outlive_scheduler_worker_and_triggerer(live, cluster, scheduler, triggerer):
    deferred = started(live, cluster, "pod-deferred", "deferred")
    in_worker = started(live, cluster, "pod-worker", "running")
    pods = {pod["metadata"]["name"] for pod in cluster.pods()}
    scheduler.kill(tasks=True)
    triggerer.kill(tasks=True)
    assert phases(cluster) == {"pod-deferred": "Running", "pod-worker": "Running"}
    scheduler.start()
    triggerer.start()
    live.wait("it is tried again", lambda: live.tasks("pod-worker", in_worker)["step"]["try_number"] == 2)
    assert phases(cluster) == {"pod-deferred": "Running", "pod-worker": "Running"}
    (live.bundle / "go").touch()
    for dag_id, run_id in (("pod-deferred", deferred), ("pod-worker", in_worker)):
        assert live.ended(dag_id, run_id) == "success"
        assert live.result(dag_id, run_id, "step", "pod_name") in pods
        assert live.result(dag_id, run_id, "step")["batch"] == "2025-01-01"
        assert live.lake.read(dag_id.replace("-", "_")).num_rows == 3
    made = [call for call in cluster.calls if call.verb == "create" and call.path.endswith("/pods")]
    assert (len(made), cluster.pods()) == (2, [])
    (live.bundle / "go").unlink()


def test_people_and_the_clock_end_a_pod(live, cluster):
    out_of_time = started(live, cluster, "pod-hasty", "deferred")
    stopped = started(live, cluster, "pod-deferred", "deferred")
    path = f"/dags/pod-deferred/dagRuns/{stopped}/taskInstances/step"
    live.api.call("PATCH", path, json={"new_state": "failed"})
    assert live.ended("pod-deferred", stopped) == "failed"
    live.wait("its pod is gone", lambda: "pod-deferred" not in phases(cluster))
    assert live.ended("pod-hasty", out_of_time) == "failed"
    live.wait("no pod is left", lambda: not cluster.pods())

"""A step's pod under everything that goes wrong around it: workers, the API, the registry, the clock, people."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import timedelta

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import ProtocolError

from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.testing.cluster import Cluster, Evict, ImagePull, Preempt, Unschedulable
from tests.pod_driver import BATCH, Killed, PodTask

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
SOURCE = """
import time

import pyarrow


def good(batch):
    print("reading", batch.id, flush=True)
    return pyarrow.table({"id": [1, 2, 3]})


def slow(batch):
    for part in range(8):
        print("part", part, flush=True)
        time.sleep(0.5)
    return good(batch)


def endless(batch):
    time.sleep(600)


def hungry(batch):
    block = bytearray(400 << 20)
    return good(batch)


def full(batch):
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
"""
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferred"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "source.py").write_text(SOURCE)
    return folder


@pytest.fixture
def cluster(shared, monkeypatch):
    with Cluster({"steps": sys.executable}, claims={"shared": shared}, backoff_s=0.3) as cluster:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
        # No supervisor here that could notice a deferral late.
        monkeypatch.setattr("airflow_mlops_provider.triggers.kubernetes._EARLIEST_S", 0.0)
        yield cluster


@pytest.fixture
def lake(shared, tmp_path):
    """Where both Airflow and the pods see it; each test its own."""
    return Lake(str(shared / tmp_path.name))


@pytest.fixture
def task(cluster, shared, lake, tmp_path, connect):
    """Return a function that makes a task whose step reads rows."""
    connect("lake_default", conn_type="mlops_lake", login="me", password="planted-s3cret")

    def make(function="good", *, retries=0, pod=None, meets=lambda _: None, **arguments):
        spec = {"lake": lake.root, "batch": BATCH}
        spec["datasets"] = {"rows": {"python_callable": f"source.{function}"}}
        volumes = {"shared": {"claim": "shared", "mount_path": str(shared)}}
        given = {"image": "steps", "bundle": str(shared / "bundle"), "volumes": volumes, "grace": 1, **(pod or {})}
        return PodTask(
            tmp_path.name, {"step": "ingest", "spec": spec, "pod": given, **arguments}, retries=retries, meets=meets
        )

    return make


def created(cluster, what="pods"):
    return [c for c in cluster.calls if c.verb == "create" and c.path.endswith(f"/{what}") and c.code == 201]


def left(cluster):
    """Return what is there of pods and Secrets once what is being deleted is gone."""
    for _ in range(50):
        kinds = ("pods", "secrets")
        items = [httpx.get(f"{cluster.url}/api/v1/namespaces/default/{kind}").json()["items"] for kind in kinds]
        if items == [[], []]:
            return []
        time.sleep(0.1)
    return [item["metadata"]["name"] for kind in items for item in kind]


def wait_for(cluster, phase):
    while [pod["status"]["phase"] for pod in cluster.pods()] != [phase]:
        time.sleep(0.05)


def die(*_args, **_kwargs):
    raise Killed


# -- workers --------------------------------------------------------------------------------------------------------


class DiesOnce:
    """The first operator's process is killed as its pod has been made; `then` happens before the next try."""

    def __init__(self, then=lambda: None):
        self.then, self.met = then, 0

    def __call__(self, operator):
        self.met += 1
        if self.met == 1:
            operator.invoke_defer_method = operator.await_pod_start = die
        if self.met == 2:
            self.then()


@MODES
@pytest.mark.parametrize("store", [{}, None], ids=["3.3", "without a task state store"])
def test_a_worker_that_dies_leaves_its_pod_to_the_next_try(cluster, task, deferrable, store):
    run = task("slow", retries=1, meets=DiesOnce(), deferrable=deferrable)
    run.store = store
    assert run.run()
    assert (run.tries, len(created(cluster)), left(cluster)) == (2, 1, [])


@MODES
def test_a_pod_that_has_ended_meanwhile_is_read_not_run_again(cluster, task, deferrable):
    run = task(retries=1, meets=DiesOnce(lambda: wait_for(cluster, "Succeeded")), deferrable=deferrable)
    assert run.run()
    assert (run.tries, len(created(cluster)), run.told.count("return_value")) == (2, 1, 1)


def test_a_pod_that_somebody_deleted_after_its_outcome_counts_as_done(cluster, task):
    def swept():
        wait_for(cluster, "Succeeded")
        httpx.delete(f"{cluster.url}/api/v1/namespaces/default/pods", params={"gracePeriodSeconds": 0})

    run = task(retries=1, meets=DiesOnce(swept))
    assert run.run()
    assert (run.pushed["return_value"]["batch"], len(created(cluster)), left(cluster)) == ("b1", 1, [])


def test_a_task_that_people_clear_runs_again(cluster, task):
    run = task()
    assert run.run()
    run.clear()
    assert run.run()
    assert len(created(cluster)) == 2


# Without a store the one after the last of them would begin anew; with one it makes its one pod.
@pytest.mark.parametrize(("store", "retries", "pods"), [(None, 3, 3), ({}, 5, 4)], ids=["without a store", "3.3"])
def test_workers_that_die_all_the_time_do_not_make_more_pods_than_may_be_lost(cluster, task, store, retries, pods):
    cluster.script([Evict()] * 20)

    def dies(operator):
        # Wherever a pod was made, nobody waits for it.
        operator.defer = lambda **_: (wait_for_end(cluster), die())

    run = task("slow", retries=retries, meets=dies, pod={"interruptions": 2})
    run.store = store
    assert not run.run()
    assert "3 pods were lost to the cluster" in str(run.error)
    assert len(created(cluster)) == pods


def wait_for_end(cluster):
    while not all(pod["status"]["phase"] == "Failed" for pod in cluster.pods()):
        time.sleep(0.05)


def test_more_memory_is_remembered_by_the_next_try(cluster, task):
    class DiesWithTheSecondPod:
        def __call__(self, operator):
            if len(created(cluster)) == 1:
                make = operator.get_or_create_pod
                operator.get_or_create_pod = lambda *a, **k: (make(*a, **k), die())

    run = task("hungry", retries=1, meets=DiesWithTheSecondPod(), pod={"memory": "300Mi", "memory_ceiling": "2Gi"})
    assert run.run()
    assert (run.tries, len(created(cluster))) == (2, 2)


# -- the API --------------------------------------------------------------------------------------------------------


@MODES
def test_a_pod_that_the_api_refuses_fails_at_once_and_leaves_nothing(cluster, task, deferrable):
    volumes = [{"name": "v", "nfs": {"server": "nas", "path": "/"}}]
    run = task(retries=3, deferrable=deferrable, pod_template_dict={"spec": {"containers": [], "volumes": volumes}})
    assert not run.run()
    assert isinstance(run.error, AirflowFailException)
    assert "the pod was not made: 422" in str(run.error)
    assert "spec.volumes[" in str(run.error)
    assert (run.tries, left(cluster)) == (1, [])


def test_a_secret_that_cannot_be_made_takes_the_pod_with_it(cluster, task):
    def forbid(operator):
        def refused(*_args):
            raise ApiException(status=403, reason="Forbidden")

        operator.client.create_namespaced_secret = refused

    run = task(meets=forbid)
    assert not run.run()
    assert "the pod's Secret was not made: 403 Forbidden" in str(run.error)
    assert (len(created(cluster)), left(cluster)) == (1, [])


def test_a_pod_whose_answer_got_lost_is_found_by_its_name(cluster, task):
    def loses_the_answer(operator):
        make, lost = operator.client.create_namespaced_pod, []

        def once(*args, **kwargs):
            made = make(*args, **kwargs)
            if not lost:
                lost.append(made)
                raise ProtocolError("connection reset")
            return made

        operator.client.create_namespaced_pod = once

    run = task(meets=loses_the_answer)
    assert run.run()
    assert (len(created(cluster)), left(cluster)) == (1, [])


@MODES
def test_an_api_that_is_throttled_forgetful_and_slow_fails_nothing(cluster, task, deferrable):
    cluster.throttle(4)
    cluster.slow_watch(1.0)
    threading.Timer(2.0, cluster.compact).start()
    run = task("slow", deferrable=deferrable)
    assert run.run()
    assert (len(created(cluster)), left(cluster)) == (1, [])


@MODES
def test_an_api_that_is_away_for_half_a_minute_fails_nothing(cluster, task, deferrable):
    away = threading.Timer(2.5, cluster.away, (30.0,))
    away.start()
    run = task("slow", deferrable=deferrable)
    assert run.run()
    assert (run.tries, len(created(cluster)), left(cluster)) == (1, 1, [])
    away.join()


# -- the registry, the scheduler, the clock -------------------------------------------------------------------------


@MODES
def test_an_image_that_is_not_there_fails_at_once_with_the_registrys_words(cluster, task, deferrable):
    began = time.monotonic()
    run = task(retries=3, pod={"image": "acme/absent:1"}, deferrable=deferrable, startup_timeout_seconds=120)
    assert not run.run()
    assert "ingest: image acme/absent:1: " in str(run.error)
    assert "ErrImagePull: failed to resolve reference: pull access denied" in str(run.error)
    assert (run.tries, left(cluster)) == (1, [])
    assert time.monotonic() - began < 90


@MODES
def test_a_registry_that_is_away_is_worth_another_try(cluster, task, deferrable):
    cluster.script([ImagePull(), None])
    run = task(retries=1, deferrable=deferrable, startup_timeout_seconds=2)
    assert run.run()
    assert (run.tries, left(cluster)) == (2, [])


def test_a_pod_that_no_node_takes_says_why(cluster, task):
    cluster.script([Unschedulable()])
    run = task(schedule_timeout_seconds=1)
    assert not run.run()
    assert "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu" in str(run.error)
    assert left(cluster) == []


def test_a_pod_that_is_out_of_time_is_deleted(cluster, task):
    run = task("endless", execution_timeout=timedelta(seconds=4), on_finish_action="keep_pod")
    began = time.monotonic()
    assert not run.run()
    assert time.monotonic() - began < 50
    assert left(cluster) == []


# -- people ---------------------------------------------------------------------------------------------------------


def test_a_task_that_is_stopped_deletes_its_pod_and_makes_no_other(cluster, task):
    def stopped(operator):
        threading.Timer(2.5, operator.on_kill).start()

    run = task("endless", deferrable=False, meets=stopped)
    assert not run.run()
    assert (len(created(cluster)), left(cluster)) == (1, [])


def test_a_stop_while_the_pod_is_being_made_deletes_it(cluster, task):
    def stopped(operator):
        make = operator.client.create_namespaced_pod

        def then_stopped(*args):
            made = make(*args)
            operator.on_kill()
            raise Killed
            return made

        operator.client.create_namespaced_pod = then_stopped

    assert not task("endless", meets=stopped).run()
    assert (len(created(cluster)), left(cluster)) == (1, [])


def test_a_pod_that_people_delete_while_it_runs_is_replaced(cluster, task):
    def deleted():
        wait_for(cluster, "Running")
        httpx.delete(f"{cluster.url}/api/v1/namespaces/default/pods", params={"gracePeriodSeconds": 0})

    threading.Thread(target=deleted).start()
    run = task("slow", deferrable=False)
    assert run.run()
    assert (run.tries, len(created(cluster)), left(cluster)) == (1, 2, [])


# -- ends -----------------------------------------------------------------------------------------------------------


@MODES
def test_a_preempted_pod_is_replaced(cluster, task, deferrable):
    cluster.script([Preempt(after_s=0.5), None])
    run = task("slow", deferrable=deferrable)
    assert run.run()
    assert (run.tries, len(created(cluster)), left(cluster)) == (1, 2, [])


def test_a_full_device_fails_at_once_with_advice(cluster, task):
    run = task("full", retries=2)
    assert not run.run()
    assert "smaller batches" in str(run.error)
    assert run.tries == 1


def test_airflow_without_the_tools_of_a_lake_still_says_how_the_pod_ended(cluster, task, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "airflow_mlops_provider.steps.lake", None)
    cluster.script([Evict(message="low on memory")] * 2)
    run = task("slow", pod={"interruptions": 1})
    assert not run.run()
    assert "2 pods were lost to the cluster, the last: evicted: TerminationByKubelet: low on mem" in str(run.error)
    assert "pip install 'airflow-mlops-provider[lake]'" in capfd.readouterr().out


# -- what is asked for ----------------------------------------------------------------------------------------------


def test_a_pod_template_file_lies_under_the_typed_spec(cluster, task, tmp_path):
    template = {
        "metadata": {"labels": {"team": "risk"}, "annotations": {"cost/centre": "7"}},
        "spec": {
            "nodeSelector": {"pool": "ours"},
            "serviceAccountName": "trainer",
            "containers": [
                {"name": "base", "image": "another", "env": [{"name": "REGION", "value": "eu"}]},
                {"name": "proxy", "image": "steps", "command": ["python", "-c", ""]},
            ],
        },
    }
    (tmp_path / "template.yaml").write_text(json.dumps(template))
    run = task(pod_template_file=str(tmp_path / "template.yaml"), on_finish_action="keep_pod", labels={"own": "yes"})
    assert run.run()
    (pod,) = cluster.pods()
    base, proxy = pod["spec"]["containers"]
    assert (base["image"], proxy["name"]) == ("steps", "proxy")
    assert {"REGION", "MLOPS_REQUEST"} <= {one["name"] for one in base["env"]}
    assert pod["spec"]["nodeSelector"] == {"pool": "ours"}
    assert {"team", "own", "dag_id", "mlops.step"} <= pod["metadata"]["labels"].keys()
    assert {"cost/centre", "mlops.run-key"} <= pod["metadata"]["annotations"].keys()


def test_the_log_is_looked_at_while_the_task_is_deferred(cluster, task):
    assert task("slow", logging_interval=1).run()
    looks = [call for call in cluster.calls if call.path.endswith("/log")]
    # The last one is the operator's own, of what came since.
    assert len([look for look in looks if look.query.get("timestamps") == "True"]) >= 2
    assert "sinceSeconds" in looks[-1].query


def test_the_result_is_pushed_only_if_it_shall_be(cluster, task):
    run = task(do_xcom_push=False)
    assert run.run()
    assert run.returned["batch"] == "b1"
    assert "return_value" not in run.pushed


def test_what_was_written_was_written_once(cluster, task, lake):
    cluster.script([Evict(after_s=0.5), None])
    assert task("slow").run()
    assert lake.read("rows").num_rows == 3

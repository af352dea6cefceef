"""A training of several pods: they meet over a socket, end together, and one of them tells what came of it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import time
from datetime import timedelta

import httpx
import mlflow
import numpy as np
import pytest
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.testing.cluster import Cluster, Evict, NodeLost, Preempt
from tests.pod_driver import Killed, PodTask
from tests.steps.flow import add_month, rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
]
SOURCE = """
import json
import os
import pathlib
import socket
import time

import numpy as np


class Rate:
    def __init__(self, rate):
        self.rate = rate

    def predict(self, x):
        return np.full(len(x), self.rate)


def until(attempt):
    while True:
        try:
            return attempt()
        except OSError:
            time.sleep(0.05)


def total(context, own):
    # All workers' sum, by way of the first one.
    at = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    assert (context.rank, context.workers) == (int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if context.rank:
        with until(lambda: socket.create_connection(at)) as link:
            link.sendall(f"{own}\\n".encode())
            return float(link.makefile().readline())
    until(lambda: socket.gethostbyname(at[0]))
    with socket.create_server(at) as server:
        links = [server.accept()[0] for _ in range(context.workers - 1)]
        whole = own + sum(float(link.makefile().readline()) for link in links)
        for link in links:
            link.sendall(f"{whole}\\n".encode())
        return whole


def train(data, params, context):
    own = data.y.to_numpy()[context.rank :: context.workers]
    print("worker", context.rank, "has", len(own), "rows", flush=True)
    rate = total(context, float(own.sum())) / len(data.y)
    context.checkpoint.save(str(context.rank).encode(), step=1)
    context.log_metric("rate", rate)
    return Rate(rate) if context.rank == 0 else None


def second_fails(data, params, context):
    if context.rank == 1:
        raise ValueError("the second one's own fault " + "x" * 5000)
    return train(data, params, context)


def first_fails(data, params, context):
    if context.rank == 0:
        raise ValueError("the first one's own fault")
    return train(data, params, context)


def second_vanishes(data, params, context):
    if context.rank == 1:
        os._exit(9)
    return train(data, params, context)


def second_is_taken(data, params, context):
    marker = pathlib.Path(params["marker"])
    if context.rank == 1 and not marker.exists():
        marker.touch()
        time.sleep(600)
    return train(data, params, context)


def waits(data, params, context):
    time.sleep(600)
"""
LATER = pytest.param(False, marks=pytest.mark.long, id="sync")
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferred"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What every pod sees: a bundle, a lake of one month, and an empty MLflow to copy."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "together.py").write_text(SOURCE)
    add_month(Lake(str(folder / "lake")), 1)
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder


@pytest.fixture
def cluster(shared, monkeypatch):
    with Cluster({"train": sys.executable}, claims={"shared": shared}, backoff_s=0.3) as cluster:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
        # No supervisor here that could notice a deferral late.
        monkeypatch.setattr("airflow_mlops_provider.triggers.kubernetes._EARLIEST_S", 0.0)
        yield cluster


@pytest.fixture
def store(shared, tmp_path, connect):
    """Return the client of an MLflow of the test's own."""
    folder = shared / tmp_path.name
    folder.mkdir()
    shutil.copy(shared / "mlflow.db", folder / "mlflow.db")
    extra = {"artifact_root": str(folder / "artifacts")}
    connect("mlflow_default", conn_type="mlflow", host=f"sqlite:///{folder}/mlflow.db", extra=extra)
    return mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")


@pytest.fixture
def task(cluster, shared, store, tmp_path):
    """Return a function that makes a task whose training runs in two pods."""

    def make(function="train", *, retries=0, pod=None, spec=None, meets=lambda _: None, **arguments):
        given = {
            "model": "late",
            "lake": str(shared / "lake"),
            "dataset": {"entities": "labels", "target": "late", "event_timestamp": "at", "columns": ["size"]},
            "python_callable": f"together.{function}",
            "parameters": {"marker": str(shared / tmp_path.name / "marker")},
            **(spec or {}),
        }
        volumes = {"shared": {"claim": "shared", "mount_path": str(shared)}}
        typed = {"image": "train", "bundle": str(shared / "bundle"), "volumes": volumes, "grace": 1, "workers": 2}
        fields = {"step": "train", "spec": given, "pod": {**typed, **(pod or {})}, **arguments}
        return PodTask(tmp_path.name, fields, retries=retries, meets=meets)

    return make


def created(cluster, what="jobs"):
    return [c for c in cluster.calls if c.verb == "create" and c.path.endswith(f"/{what}") and c.code == 201]


def left(cluster):
    """Return what is there once what is being deleted is gone."""
    kinds = ("api/v1", "pods"), ("api/v1", "secrets"), ("api/v1", "services"), ("apis/batch/v1", "jobs")
    for _ in range(100):
        found = [item for root, kind in kinds for item in listed(cluster, root, kind)]
        if not found:
            return []
        time.sleep(0.1)
    return [item["metadata"]["name"] for item in found]


def listed(cluster, root, kind):
    return httpx.get(f"{cluster.url}/{root}/namespaces/default/{kind}").json()["items"]


def pods_of_second(cluster):
    return [
        pod for pod in cluster.pods() if pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
    ]


def wait_until(holds):
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def both_run(cluster):
    return [pod["status"]["phase"] for pod in cluster.pods()] == ["Running", "Running"]


def runs_of(store):
    return store.search_runs([one.experiment_id for one in store.search_experiments()])


@MODES
def test_two_workers_share_a_fit_and_the_first_tells_what_came_of_it(cluster, task, store, deferrable):
    run = task(deferrable=deferrable)
    assert run.run(), run.error
    (trained,) = runs_of(store)
    assert run.pushed["return_value"]["run_id"] == trained.info.run_id
    assert (trained.info.status, run.pushed["return_value"]["rows"]) == ("FINISHED", 31 * 40)
    assert trained.data.metrics["rate"] == pytest.approx(np.mean(rows(1)["late"].to_pylist()))
    assert (run.tries, len(created(cluster)), len(created(cluster, "services")), left(cluster)) == (1, 1, 1, [])


@pytest.mark.parametrize("deferrable", [LATER, pytest.param(True, id="deferred")])
def test_what_one_worker_raises_fails_all_at_once_and_leaves_nothing(cluster, task, store, deferrable):
    run = task("second_fails", retries=2, deferrable=deferrable)
    assert not run.run()
    assert isinstance(run.error, AirflowFailException)
    assert "the second one's own fault" in str(run.error)
    assert (run.tries, len(created(cluster)), left(cluster)) == (1, 1, [])
    (trained,) = runs_of(store)
    assert trained.info.status != "FINISHED"


@pytest.mark.long
def test_what_the_first_worker_raises_is_told_although_the_other_is_taken_down(cluster, task):
    run = task("first_fails", retries=2)
    assert not run.run()
    assert "the first one's own fault" in str(run.error)
    assert (run.tries, left(cluster)) == (1, [])


@pytest.mark.long
def test_a_worker_that_dies_without_a_word_fails_all(cluster, task):
    run = task("second_vanishes")
    assert not run.run()
    assert "the pod ended with exit code 9 and left no outcome" in str(run.error)
    assert left(cluster) == []


@pytest.mark.long
@pytest.mark.parametrize("fault", [Evict(), Preempt(), NodeLost()])
def test_workers_of_whom_the_cluster_took_one_begin_anew_in_the_same_try(cluster, task, store, shared, tmp_path, fault):
    def taken():
        wait_until((shared / tmp_path.name / "marker").exists)
        cluster.inflict(fault, pods_of_second(cluster)[0]["metadata"]["name"])

    threading.Thread(target=taken).start()
    run = task("second_is_taken")
    assert run.run(), run.error
    assert (run.tries, len(created(cluster)), left(cluster)) == (1, 2, [])
    (trained,) = runs_of(store)
    assert trained.info.status == "FINISHED"


@pytest.mark.long
@MODES
def test_a_try_whose_process_died_leaves_its_job_to_the_next(cluster, task, deferrable):
    class DiesOnce:
        met = 0

        def __call__(self, operator):
            self.met += 1
            if self.met == 1:
                operator.invoke_defer_method = operator.await_pod_start = die

    run = task(retries=1, meets=DiesOnce(), deferrable=deferrable)
    assert run.run(), run.error
    assert (run.tries, len(created(cluster)), left(cluster)) == (2, 1, [])


def die(*_args, **_kwargs):
    raise Killed


@pytest.mark.long
def test_jobs_that_shall_be_kept_are_kept_and_not_read_twice(cluster, task):
    run = task(on_finish_action="keep_pod")
    assert run.run(), run.error
    assert len(cluster.pods()) == 2
    # As people clear it where Airflow has no task state store: only the pods tell.
    run.store = None
    run.clear()
    assert run.run(), run.error
    assert (len(created(cluster)), len(cluster.pods())) == (2, 4)


def test_a_job_of_which_no_pods_come_is_deleted(cluster, task, monkeypatch):
    monkeypatch.setattr("airflow_mlops_provider.hooks.kubernetes_job._MADE_WITHIN_S", 1.0)
    cluster._loop.call_soon_threadsafe(cluster._jobs.stop)
    run = task()
    assert not run.run()
    assert "the job has no pods after 1 s: the API does not say why" in str(run.error)
    assert left(cluster) == []


@pytest.mark.long
def test_a_job_that_is_out_of_time_is_deleted(cluster, task):
    run = task("waits", execution_timeout=timedelta(seconds=4), on_finish_action="keep_pod")
    assert not run.run()
    assert left(cluster) == []


def test_a_task_that_is_stopped_deletes_its_job(cluster, task):
    def stopped(operator):
        threading.Thread(target=lambda: (wait_until(lambda: both_run(cluster)), operator.on_kill())).start()

    run = task("waits", deferrable=False, meets=stopped)
    assert not run.run()
    assert (len(created(cluster)), left(cluster)) == (1, [])


def test_a_deferred_task_that_is_stopped_deletes_its_job(cluster, task):
    run = task("waits")
    operator = run.operator()
    ExecutorSafeguard.tracker.set(operator)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(run.context(operator))
    wait_until(lambda: both_run(cluster))
    _, arguments = deferred.value.trigger.serialize()
    asyncio.run(type(deferred.value.trigger)(**arguments).on_kill())
    assert left(cluster) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"python_callable": None, "estimator": "sklearn.dummy.DummyClassifier"}, "needs a `python_callable`"),
        ({"search": {"space": {"a": [1, 2]}}, "holdout": "PT240H"}, "`search` runs in one pod"),
    ],
)
def test_a_training_whose_work_cannot_be_shared_is_refused(cluster, task, spec, words):
    run = task(spec=spec)
    assert not run.run()
    assert words in str(run.error)
    assert created(cluster) == []

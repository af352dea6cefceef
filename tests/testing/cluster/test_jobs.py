"""Indexed jobs and headless services: pods that know their number and find each other, and end together."""

from __future__ import annotations

import time
from itertools import count

import pytest

pytestmark = pytest.mark.slow

NUMBERS = count()
INDEX = "batch.kubernetes.io/job-completion-index"
NAME = "batch.kubernetes.io/job-name"
# Worker 0 hears every other one's name at its own; it writes them to its log.
MEET = """
import os, socket, sys, time
rank, first, port = int(os.environ["JOB_COMPLETION_INDEX"]), sys.argv[1], int(sys.argv[2])
def until(attempt):
    while True:
        try:
            return attempt()
        except OSError:
            time.sleep(0.05)
if rank:
    with until(lambda: socket.create_connection((first, port))) as link:
        link.sendall(socket.gethostname().encode())
else:
    until(lambda: socket.gethostbyname(first))
    with socket.create_server((first, port)) as server:
        for _ in range(int(sys.argv[3]) - 1):
            link, _ = server.accept()
            print("met", link.recv(99).decode(), flush=True)
"""


@pytest.fixture
def batch(api):
    from kubernetes import client

    return client.BatchV1Api(api.api_client)


@pytest.fixture
def job(pod):
    """Return a function that makes a job of a piece of Python, and the headless service of its name."""

    def make(code="", *, workers=2, arguments=(), labels=None, **spec):
        name = f"job-{next(NUMBERS)}"
        command = ["python", "-c", code, *(argument.format(name=name) for argument in arguments)]
        template = pod(container={"command": command}, **spec)["spec"] | {"subdomain": name}
        indexed = {"completionMode": "Indexed", "completions": workers, "parallelism": workers, "backoffLimit": 0}
        meta = {"labels": labels or {}}
        return {"metadata": {"name": name}, "spec": {**indexed, "template": {"metadata": meta, "spec": template}}}

    return make


@pytest.fixture
def over(batch):
    """Return a function that waits for a job's end, and returns its status."""

    def wait(name):
        until = time.monotonic() + 60
        while True:
            status = batch.read_namespaced_job(name, "default").status
            held = {one.type for one in status.conditions or () if one.status == "True"}
            if held & {"Complete", "Failed"}:
                return status
            assert time.monotonic() < until, status
            time.sleep(0.02)

    return wait


def pods_of(api, name):
    return api.list_namespaced_pod("default", label_selector=f"{NAME}={name}").items


def held(status):
    return {one.type: one.reason for one in status.conditions}


def free_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_pods_of_a_job_know_their_number_and_meet_by_name(api, batch, job, over, log_of):
    made = job(MEET, workers=3, arguments=("{name}-0.{name}", str(free_port()), "3"))
    name = made["metadata"]["name"]
    service = {"metadata": {"name": name}, "spec": {"clusterIP": "None", "selector": {NAME: name}}}
    batch.create_namespaced_job("default", made)
    api.create_namespaced_service("default", service)
    status = over(name)
    assert held(status) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert (status.succeeded, status.completed_indexes, status.active) == (3, "0-2", None)
    pods = {pod.metadata.annotations[INDEX]: pod for pod in pods_of(api, name)}
    assert sorted(pods) == ["0", "1", "2"]
    assert {pod.metadata.owner_references[0].uid for pod in pods.values()} == {
        batch.read_namespaced_job(name, "default").metadata.uid
    }
    assert pods["1"].spec.hostname == f"{name}-1"
    assert sorted(log_of(pods["0"].metadata.name).split()[1::2]) == [f"{name}-1", f"{name}-2"]


def test_one_failed_pod_fails_the_job_and_ends_the_others(api, batch, job, over):
    code = "import os, sys, time\nif os.environ['JOB_COMPLETION_INDEX'] == '1': sys.exit(3)\ntime.sleep(600)"
    made = job(code, terminationGracePeriodSeconds=1)
    batch.create_namespaced_job("default", made)
    status = over(made["metadata"]["name"])
    assert held(status) == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    # The one that failed stays, to be read.
    (left,) = pods_of(api, made["metadata"]["name"])
    assert left.status.container_statuses[0].state.terminated.exit_code == 3


def test_a_pod_that_is_deleted_fails_the_job(api, batch, job, over, running):
    made = job("import time; time.sleep(600)", terminationGracePeriodSeconds=0)
    name = made["metadata"]["name"]
    batch.create_namespaced_job("default", made)
    while len(found := pods_of(api, name)) < 2:
        time.sleep(0.02)
    running(found[0].metadata.name)
    api.delete_namespaced_pod(found[0].metadata.name, "default")
    assert over(name).failed == 2


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan", None])
def test_deleting_a_job_deletes_what_it_owns_as_the_policy_says(api, batch, job, policy):
    made = job("import time; time.sleep(600)", terminationGracePeriodSeconds=0)
    name = made["metadata"]["name"]
    uid = batch.create_namespaced_job("default", made).metadata.uid
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    meta = {"name": name, "ownerReferences": [owner]}
    api.create_namespaced_service("default", {"metadata": meta, "spec": {"clusterIP": "None"}})
    while len(pods_of(api, name)) < 2:
        time.sleep(0.02)
    batch.delete_namespaced_job(name, "default", **({"propagation_policy": policy} if policy else {}))
    until = time.monotonic() + 10
    # A job's pods outlive it where nobody says otherwise: so it is with batch/v1.
    stays = policy in ("Orphan", None)
    while (pods_of(api, name) and not stays) or names(batch.list_namespaced_job("default"), name):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert len(pods_of(api, name)) == (2 if stays else 0)
    assert bool(names(api.list_namespaced_service("default"), name)) == stays
    api.delete_collection_namespaced_pod("default", label_selector=f"{NAME}={name}")


def names(listed, name):
    return [item.metadata.name for item in listed.items if item.metadata.name == name]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"completionMode": "NonIndexed"}, "spec.completionMode: Forbidden"),
        ({"backoffLimit": 3}, "spec.backoffLimit: Forbidden"),
        ({"parallelism": 1}, "spec.parallelism: Forbidden"),
        ({"template": None}, "spec.template: Required value"),
    ],
)
def test_a_job_that_is_not_served_is_refused(batch, job, change, words):
    from kubernetes.client.exceptions import ApiException

    made = job()
    made["spec"] |= change
    with pytest.raises(ApiException, match="422") as found:
        batch.create_namespaced_job("default", made)
    assert words in found.value.body


def test_a_service_with_an_address_of_its_own_is_refused(api):
    from kubernetes.client.exceptions import ApiException

    with pytest.raises(ApiException, match="headless"):
        api.create_namespaced_service("default", {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})

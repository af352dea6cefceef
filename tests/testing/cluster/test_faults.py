"""Each fault gives the objects and answers that a real cluster gives."""

from __future__ import annotations

import itertools
import time

import pytest
from kubernetes import watch
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from airflow_mlops_provider.testing.cluster import Cluster, Evict, ImagePull, NodeLost, Preempt, Unschedulable

FOREVER = "import time; time.sleep(600)"


def disruption(pod):
    return next((one.reason for one in pod.status.conditions or [] if one.type == "DisruptionTarget"), None)


def reasons(api, name):
    events = api.list_namespaced_event("default", field_selector=f"involvedObject.name={name}").items
    return {event.reason: event.message for event in events}


def test_an_evicted_pod_fails_and_stays(cluster, api, start, ended):
    cluster.script([Evict(message="The node was low on resource: memory. ")], "x=evict")
    name = start(FOREVER, labels={"x": "evict"})
    pod = ended(name)
    assert (pod.status.phase, pod.status.reason) == ("Failed", "Evicted")
    assert pod.status.message == "The node was low on resource: memory. "
    assert disruption(pod) == "TerminationByKubelet"
    assert pod.status.container_statuses[0].state.terminated.exit_code == 137
    assert reasons(api, name)["Evicted"] == pod.status.message


def test_a_script_serves_pods_in_order_by_label(cluster, start, ended):
    cluster.script([Evict(grace_s=0), None, Evict(grace_s=0)], "x=order")
    ends = [ended(start("import time; time.sleep(1)", labels={"x": "order"})).status.reason for _ in range(4)]
    assert ends == ["Evicted", None, "Evicted", None]


def test_an_endless_script(cluster, start, ended):
    cluster.script(itertools.repeat(Evict(grace_s=0)), "x=endless")
    assert {ended(start(FOREVER, labels={"x": "endless"})).status.reason for _ in range(3)} == {"Evicted"}


def test_a_preempted_pod_is_asked_to_end_and_is_gone(cluster, api, start, gone):
    cluster.script([Preempt()], "x=preempt")
    stream = watch.Watch().stream(api.list_namespaced_pod, "default", label_selector="x=preempt", timeout_seconds=20)
    name = start(FOREVER, labels={"x": "preempt"}, terminationGracePeriodSeconds=1)
    last = next(event for event in stream if event["type"] == "DELETED")["object"]
    stream.close()
    assert disruption(last) == "PreemptionByScheduler"
    assert last.metadata.deletion_grace_period_seconds == 1
    assert last.status.container_statuses[0].state.terminated.exit_code == 137
    assert "Preempted" in reasons(api, name)
    gone(name)


def test_a_pod_on_a_lost_node_is_unknown_then_gone(cluster, api, start, running, when, gone):
    name = start(FOREVER)
    running(name)
    cluster.inflict(NodeLost(gone_after_s=0.5), name)
    pod = when(name, lambda found: found.status.phase == "Unknown" and disruption(found))
    assert pod.status.reason == "NodeLost"
    assert disruption(pod) == "DeletionByTaintManager"
    with pytest.raises(ApiException, match="500"):
        api.read_namespaced_pod_log(name, "default")
    gone(name)


def test_a_lost_pod_goes_even_if_its_work_ends_unheard(cluster, start, running, when, gone):
    name = start("import time; time.sleep(1)")
    running(name)
    cluster.inflict(NodeLost(gone_after_s=2), name)
    time.sleep(1.5)
    assert when(name, lambda found: found.status.phase == "Unknown")
    gone(name)


def test_an_unknown_image_tells_the_registry_s_words(api, start, when):
    name = start(container={"image": "nobody/has:this"})

    def backs_off(pod):
        states = pod.status.container_statuses
        return states and states[0].state.waiting and states[0].state.waiting.reason == "ImagePullBackOff"

    pod = when(name, backs_off)
    assert pod.status.phase == "Pending"
    assert "pull access denied" in pod.status.container_statuses[0].state.waiting.message
    said = [event.message for event in api.list_namespaced_event("default").items if event.reason == "Failed"]
    assert any('Failed to pull image "nobody/has:this": failed to resolve reference' in message for message in said)


def test_an_image_may_come_after_all(cluster, api, start, when, ended):
    cluster.script([ImagePull(for_s=0.3, message="503 Service Unavailable")], "x=pull")
    name = start("pass", labels={"x": "pull"})
    when(name, lambda pod: pod.status.container_statuses and pod.status.container_statuses[0].state.waiting)
    assert ended(name).status.phase == "Succeeded"
    assert "Pulled" in reasons(api, name)


def test_a_pod_that_no_node_takes(cluster, api, start, when, ended):
    cluster.script([Unschedulable(for_s=0.5)], "x=full")
    name = start("pass", labels={"x": "full"})
    pod = when(name, lambda found: found.status.conditions)
    (scheduled,) = pod.status.conditions
    assert (scheduled.type, scheduled.status, scheduled.reason) == ("PodScheduled", "False", "Unschedulable")
    assert pod.status.phase == "Pending"
    assert pod.spec.node_name is None
    assert "Insufficient nvidia.com/gpu" in reasons(api, name)["FailedScheduling"]
    assert ended(name).status.phase == "Succeeded"


def test_a_pod_without_a_node_is_deleted_at_once(cluster, api, start, when):
    cluster.script([Unschedulable()], "x=never")
    name = start("pass", labels={"x": "never"})
    when(name, lambda found: found.status.conditions)
    api.delete_namespaced_pod(name, "default")
    with pytest.raises(ApiException, match="404"):
        api.read_namespaced_pod(name, "default")


def test_too_many_requests(cluster, api, connect):
    cluster.throttle(1, retry_after_s=7, path="/secrets")
    api.list_namespaced_pod("default")
    with pytest.raises(ApiException) as caught:
        connect(cluster, retries=False).list_namespaced_secret("default")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "7")
    assert '"reason": "TooManyRequests"' in caught.value.body
    assert api.list_namespaced_secret("default").kind == "SecretList"


def test_a_verb_that_the_role_lacks(cluster, api):
    cluster.forbid("watch", "/configmaps$")
    with pytest.raises(ApiException) as caught:
        list(watch.Watch().stream(api.list_namespaced_config_map, "default", timeout_seconds=1))
    assert caught.value.status == 403
    assert api.list_namespaced_config_map("default").kind == "ConfigMapList"


def test_a_slow_watch(cluster, api, start):
    cluster.slow_watch(0.5)
    try:
        version = api.list_namespaced_pod("default").metadata.resource_version
        stream = watch.Watch().stream(
            *(api.list_namespaced_pod, "default"),
            label_selector="x=slow",
            resource_version=version,
            timeout_seconds=10,
        )
        since = time.monotonic()
        start("pass", labels={"x": "slow"})
        next(stream)
        assert time.monotonic() - since > 0.5
        stream.close()
    finally:
        cluster.slow_watch(0)


def test_an_open_watch_is_told_that_its_version_is_gone(cluster, api, start, gone):
    stream = watch.Watch().stream(
        api.list_namespaced_pod,
        "default",
        label_selector="x=compact",
        resource_version=api.list_namespaced_pod("default").metadata.resource_version,
        timeout_seconds=10,
    )
    start("pass", labels={"x": "compact"})
    assert next(stream)["type"] == "ADDED"
    cluster.compact()
    with pytest.raises(ApiException, match="410"):
        list(stream)


@pytest.mark.parametrize("refuse", [False, True])
def test_the_api_is_away_and_the_pod_runs_on(refuse, connect):
    code = "import time; time.sleep(.5); print('done')"
    container = {"name": "base", "image": "python", "command": ["python3", "-c", code]}
    with Cluster({"python": "python3"}) as cluster:
        api = connect(cluster)
        spec = {"restartPolicy": "Never", "containers": [container]}
        api.create_namespaced_pod("default", {"metadata": {"name": "a"}, "spec": spec})
        cluster.away(1.0, refuse=refuse)
        with pytest.raises(HTTPError if refuse else ApiException, match="refused" if refuse else "503"):
            connect(cluster, retries=False).read_namespaced_pod("a", "default")
        time.sleep(1.2)
        assert api.read_namespaced_pod("a", "default").status.phase == "Succeeded"

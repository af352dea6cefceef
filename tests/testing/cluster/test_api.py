"""The API as the official client meets it: objects, errors, lists, watches, logs."""

from __future__ import annotations

import json
import time

import psutil
import pytest
from kubernetes import client, watch
from kubernetes.client import ApiException

from airflow_mlops_provider.testing.cluster import Cluster

FOREVER = "import time; time.sleep(600)"


def refused(call, *args, **kwargs):
    """Return code and Status body of a call that the API refuses."""
    with pytest.raises(ApiException) as caught:
        call(*args, **kwargs)
    return caught.value.status, json.loads(caught.value.body)


def secret(name, **meta):
    return {"metadata": {"name": name, **meta}, "stringData": {"a": "1"}}


def test_a_pod_that_is_not_there(api):
    code, body = refused(api.read_namespaced_pod, "nobody", "default")
    assert code == 404
    assert body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "nobody" not found',
        "reason": "NotFound",
        "details": {"name": "nobody", "kind": "pods"},
        "code": 404,
    }
    assert refused(api.delete_namespaced_pod, "nobody", "default")[0] == 404
    assert refused(api.read_namespaced_pod_log, "nobody", "default")[0] == 404


def test_a_name_that_is_taken(api):
    api.create_namespaced_secret("default", secret("taken"))
    code, body = refused(api.create_namespaced_secret, "default", secret("taken"))
    assert (code, body["reason"], body["message"]) == (409, "AlreadyExists", 'secrets "taken" already exists')


def test_an_older_version_does_not_overwrite(api):
    first = api.create_namespaced_secret("default", secret("moved"))
    api.patch_namespaced_secret("moved", "default", {"metadata": {"labels": {"a": "1"}}})
    code, body = refused(api.replace_namespaced_secret, "moved", "default", first)
    assert (code, body["reason"]) == (409, "Conflict")
    assert "the object has been modified" in body["message"]


def test_a_deletion_of_another_one_of_that_name(api):
    api.create_namespaced_secret("default", secret("other"))
    options = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="not-this"))
    assert refused(api.delete_namespaced_secret, "other", "default", body=options)[0] == 409


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "Upper"}}, "metadata.name"),
        ({"spec": {"containers": []}}, "spec.containers"),
        ({"spec": {"containers": [{"name": "a", "image": "python"}], "restartPolicy": "Maybe"}}, "spec.restartPolicy"),
        (
            {"spec": {"containers": [{"name": "a", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]}},
            "spec.containers[0].volumeMounts[0].name",
        ),
        (
            {"spec": {"containers": [{"name": "a", "image": "i", "resources": {"limits": {"memory": "lots"}}}]}},
            "spec.containers[0].resources.limits[memory]",
        ),
    ],
)
def test_a_pod_that_cannot_be(api, pod, change, field):
    code, body = refused(api.create_namespaced_pod, "default", pod() | change)
    assert (code, body["reason"]) == (422, "Invalid")
    assert [cause["field"] for cause in body["details"]["causes"]] == [field]


def test_a_pod_s_command_may_not_change(api, start):
    name = start(FOREVER)
    patch = {"spec": {"containers": [{"name": "base", "command": ["other"]}]}}
    code, body = refused(api.patch_namespaced_pod, name, "default", patch)
    assert code == 422
    assert "pod updates may not change fields other than" in body["message"]


def test_an_unknown_namespace(api, pod):
    assert refused(api.create_namespaced_pod, "nowhere", pod())[1]["message"] == 'namespaces "nowhere" not found'


def test_labels_are_patched_and_selected(api, start):
    name = start(FOREVER, labels={"team": "a", "run": "1"})
    api.patch_namespaced_pod(name, "default", {"metadata": {"labels": {"run": None, "done": "True"}}})
    selector = "team in (a, b), !run, done=True"
    assert [one.metadata.name for one in api.list_namespaced_pod("default", label_selector=selector).items] == [name]
    assert api.list_namespaced_pod("default", label_selector="team=a,done!=True").items == []
    assert refused(api.list_namespaced_pod, "default", label_selector="a b c")[0] == 400


def test_a_json_patch(api, start):
    name = start(FOREVER, labels={"a": "1"})
    patch = [
        {"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "add", "path": "/metadata/labels/x~1y", "value": "2"},
        {"op": "remove", "path": "/metadata/labels/a"},
    ]
    assert api.patch_namespaced_pod(name, "default", patch).metadata.labels == {"x/y": "2"}
    assert refused(api.patch_namespaced_pod, name, "default", patch)[0] == 422


def test_a_generated_name(api, pod):
    made = pod() | {"metadata": {"generateName": "train-"}}
    names = {api.create_namespaced_pod("default", made).metadata.name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("train-") and len(name) == 11 for name in names)


def test_a_list_comes_in_pages(api):
    for number in range(5):
        api.create_namespaced_config_map("default", {"metadata": {"name": f"page-{number}", "labels": {"p": "1"}}})
    seen, token = [], None
    while token != "":
        page = api.list_namespaced_config_map("default", label_selector="p=1", limit=2, _continue=token)
        assert len(page.items) <= 2
        seen += [one.metadata.name for one in page.items]
        token = page.metadata._continue or ""
    assert seen == [f"page-{number}" for number in range(5)]


def test_a_watch_goes_on_where_the_list_ended(api, pod):
    version = api.list_namespaced_pod("default").metadata.resource_version
    made = pod("pass", labels={"watched": "1"})
    api.create_namespaced_pod("default", made)
    seen = []
    stream = watch.Watch().stream(
        api.list_namespaced_pod, "default", label_selector="watched=1", resource_version=version, timeout_seconds=10
    )
    for event in stream:
        seen.append((event["type"], event["object"].status.phase))
        if event["type"] == "DELETED":
            break
        if seen[-1][1] == "Succeeded":
            api.delete_namespaced_pod(made["metadata"]["name"], "default")
    assert list(dict.fromkeys(seen)) == [
        ("ADDED", "Pending"),
        ("MODIFIED", "Pending"),
        ("MODIFIED", "Running"),
        ("MODIFIED", "Succeeded"),
        ("DELETED", "Succeeded"),
    ]


def test_an_object_that_no_longer_matches_is_deleted_to_the_watch(api):
    api.create_namespaced_secret("default", secret("leaves", labels={"seen": "yes"}))
    stream = watch.Watch().stream(api.list_namespaced_secret, "default", label_selector="seen=yes", timeout_seconds=10)
    assert next(stream)["type"] == "ADDED"
    api.patch_namespaced_secret("leaves", "default", {"metadata": {"labels": {"seen": "no"}}})
    assert next(stream)["type"] == "DELETED"
    stream.close()


def test_bookmarks_tell_the_version_while_nothing_happens(api):
    stream = watch.Watch().stream(
        api.list_namespaced_secret, "default", label_selector="no=one", allow_watch_bookmarks=True, timeout_seconds=5
    )
    api.create_namespaced_secret("default", secret("elsewhere"))
    found = next(stream)
    assert found["type"] == "BOOKMARK"
    assert int(found["raw_object"]["metadata"]["resourceVersion"]) > 1
    stream.close()


def test_a_version_that_is_forgotten_is_gone(api, cluster):
    version = api.list_namespaced_pod("default").metadata.resource_version
    cluster.compact()
    with pytest.raises(ApiException, match=r"(?s)410.*too old resource version") as caught:
        list(watch.Watch().stream(api.list_namespaced_pod, "default", resource_version=version, timeout_seconds=5))
    assert caught.value.status == 410


def test_logs_by_tail_time_and_size(start, ended, log_of):
    name = start("import time\nfor n in range(4): print('line', n, flush=True)\ntime.sleep(2.2); print('late')")
    ended(name)
    assert log_of(name, tail_lines=2) == "line 3\nlate\n"
    assert log_of(name, limit_bytes=9) == "line 0\nli"
    assert log_of(name, since_seconds=1) == "late\n"
    stamped = log_of(name, timestamps=True, tail_lines=1)
    assert stamped.endswith("Z late\n")
    assert time.strptime(stamped[:19], "%Y-%m-%dT%H:%M:%S")


def test_a_follower_reads_until_the_container_ends(api, start, running):
    name = start("import time\nfor n in range(3): print(n, flush=True); time.sleep(.2)\nprint('no newline', end='')")
    running(name)
    response = api.read_namespaced_pod_log(name, "default", follow=True, _preload_content=False)
    with response:
        assert b"".join(response.stream(decode_content=False)) == b"0\n1\n2\nno newline"


def test_logs_of_a_container_that_has_none(api, start):
    name = start("pass", container={"image": "unknown"})
    code, body = refused(api.read_namespaced_pod_log, name, "default")
    assert code == 400
    assert 'container "base" in pod' in body["message"]
    assert refused(api.read_namespaced_pod_log, name, "default", container="else")[0] == 400


def test_events_are_listed_for_a_pod(api, start, ended):
    name = start("pass")
    ended(name)
    events = api.list_namespaced_event("default", field_selector=f"involvedObject.name={name}").items
    assert [event.reason for event in events] == ["Scheduled", "Pulled", "Created", "Started"]


def test_what_a_pod_owns_goes_with_it_unless_it_is_orphaned(api, start, ended):
    for policy, left in (("Background", False), ("Orphan", True)):
        name = start("pass")
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": ended(name).metadata.uid}
        api.create_namespaced_secret("default", secret(f"of-{name}", ownerReferences=[owner]))
        api.delete_namespaced_pod(name, "default", propagation_policy=policy)
        assert (f"of-{name}" in [one.metadata.name for one in api.list_namespaced_secret("default").items]) == left


def test_a_token_is_asked_for_where_there_is_one(connect):
    with Cluster({}, token="right") as cluster:
        assert connect(cluster).list_namespaced_pod("default").items == []
        code, body = refused(connect(cluster, retries=False).list_namespaced_pod, "default")
        assert (code, body["reason"]) == (401, "Unauthorized")


def test_calls_are_recorded(api, cluster):
    before = len(cluster.calls)
    api.list_namespaced_pod("default", label_selector="a=1")
    refused(api.read_namespaced_pod, "nobody", "default")
    assert [(call.verb, call.path.split("/")[-1], call.code) for call in cluster.calls[before:]] == [
        ("list", "pods", 200),
        ("get", "nobody", 404),
    ]


def test_the_client_finds_versions_and_resources(api, cluster):
    assert client.VersionApi(api.api_client).get_code().git_version.startswith("v1.")
    assert {"pods", "pods/log", "pods/exec", "secrets"} <= {one.name for one in api.get_api_resources().resources}


def test_closing_kills_every_process(pod, connect):
    with Cluster({"python": "python3"}) as cluster:
        connect(cluster).create_namespaced_pod("default", pod(container={"command": ["sleep", "613"]}))
        while cluster.pods()[0]["status"]["phase"] != "Running":
            time.sleep(0.05)
    assert not [one for one in psutil.process_iter(["cmdline"]) if "613" in (one.info["cmdline"] or [])]


def test_a_status_is_patched_apart_from_its_object(api, start, running):
    name = start(FOREVER)
    running(name)
    condition = {"type": "example.com/warm", "status": "True"}
    api.patch_namespaced_pod_status(name, "default", {"status": {"conditions": [condition]}})
    api.patch_namespaced_pod(name, "default", {"status": {"phase": "Succeeded"}})
    pod = api.read_namespaced_pod(name, "default")
    assert pod.status.phase == "Running"
    assert {"example.com/warm", "Ready"} <= {one.type for one in pod.status.conditions}


def test_what_is_not_served(api, cluster, connect):
    code, body = refused(client.CoreV1Api(api.api_client).list_node)
    assert (code, body["message"]) == (404, "the server could not find the requested resource")
    assert refused(api.create_namespaced_pod, "default", {"metadata": {"name": "a", "resourceVersion": "1"}})[0] == 400

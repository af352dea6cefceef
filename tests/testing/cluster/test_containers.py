"""What a container sees, and what its pod tells of its end."""

from __future__ import annotations

import base64
import json
import signal
import sys
import time
import venv
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx
import psutil
import pytest

from airflow_mlops_provider.testing.cluster import Cluster

FOREVER = "import time; time.sleep(600)"


def state(pod, number=0):
    return pod.status.container_statuses[number].state


def test_a_container_is_process_1_and_sees_no_other(start, ended, log_of):
    name = start("import os; print(os.getpid(), [one for one in os.listdir('/proc') if one.isdigit()])")
    assert ended(name).status.phase == "Succeeded"
    assert log_of(name) == "1 ['1']\n"


def test_the_environment_is_what_the_spec_says(start, ended, log_of, monkeypatch):
    monkeypatch.setenv("OF_THE_HOST", "must not be seen")
    env = [
        {"name": "PLAIN", "value": "a"},
        {"name": "BUILT", "value": "$(PLAIN)-b-$$(PLAIN)-$(NOBODY)"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "RUN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['run']"}}},
    ]
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    name = start(code, labels={"run": "7"}, container={"env": env})
    ended(name)
    seen = json.loads(log_of(name))
    assert "OF_THE_HOST" not in seen
    assert seen["PLAIN"] == "a"
    assert seen["BUILT"] == "a-b-$(PLAIN)-$(NOBODY)"
    assert (seen["POD"], seen["HOSTNAME"], seen["IP"], seen["RUN"]) == (name, name, "127.0.0.1", "7")


def test_secrets_reach_a_pod_by_variable_and_by_file_and_leave_with_it(api, start, when, log_of, ended, cluster):
    api.create_namespaced_secret("default", {"metadata": {"name": "key"}, "stringData": {"token": "s3cret", "b": "2"}})
    api.create_namespaced_config_map("default", {"metadata": {"name": "settings"}, "data": {"MODE": "fast"}})
    name = start(
        "import os, pathlib; print(os.environ['TOKEN'], os.environ['K_b'], os.environ['MODE'],"
        " pathlib.Path('/mlops/key/token').read_text(), os.listdir('/mlops/key'))",
        volumes=[{"name": "key", "secret": {"secretName": "key", "items": [{"key": "token", "path": "token"}]}}],
        container={
            "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "key", "key": "token"}}}],
            "envFrom": [{"secretRef": {"name": "key"}, "prefix": "K_"}, {"configMapRef": {"name": "settings"}}],
            "volumeMounts": [{"name": "key", "mountPath": "/mlops/key"}],
        },
    )
    uid = ended(name).metadata.uid
    assert log_of(name) == "s3cret 2 fast s3cret ['token']\n"
    assert not Path("/mlops").exists()
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    api.patch_namespaced_secret("key", "default", {"metadata": {"ownerReferences": [owner]}})
    assert base64.b64decode(api.read_namespaced_secret("key", "default").data["token"]) == b"s3cret"
    api.delete_namespaced_pod(name, "default")
    assert "key" not in [one.metadata.name for one in api.list_namespaced_secret("default").items]


def test_a_pod_waits_for_a_secret_that_is_not_there_yet(api, start, when, ended):
    reference = {"name": "late", "key": "a"}
    name = start("pass", container={"env": [{"name": "A", "valueFrom": {"secretKeyRef": reference}}]})
    waiting = when(name, lambda pod: pod.status.container_statuses and state(pod).waiting.reason != "ContainerCreating")
    assert state(waiting).waiting.reason == "CreateContainerConfigError"
    assert state(waiting).waiting.message == 'secret "late" not found'
    api.create_namespaced_secret("default", {"metadata": {"name": "late"}, "stringData": {"a": "1"}})
    assert ended(name).status.phase == "Succeeded"


def test_containers_of_a_pod_share_a_volume_and_init_containers_come_first(api, ended, log_of):
    def container(name, code):
        mounts = [{"name": "work", "mountPath": "/data/work"}]
        return {"name": name, "image": "python", "command": ["python", "-c", code], "volumeMounts": mounts}

    write, read = "open('/data/work/a', 'a').write('{}')", "print(open('/data/work/a').read())"
    spec = {
        "restartPolicy": "Never",
        "volumes": [{"name": "work", "emptyDir": {}}],
        "initContainers": [container("one", write.format(1)), container("two", write.format(2))],
        "containers": [container("base", read), container("side", read)],
    }
    api.create_namespaced_pod("default", {"metadata": {"name": "several"}, "spec": spec})
    pod = ended("several")
    assert [one.state.terminated.reason for one in pod.status.init_container_statuses] == ["Completed"] * 2
    assert log_of("several", container="base") == log_of("several", container="side") == "12\n"


def test_a_failed_init_container_fails_the_pod(api, ended):
    def container(name, code):
        return {"name": name, "image": "python", "command": ["python", "-c", code]}

    spec = {"restartPolicy": "Never", "initContainers": [container("first", "raise SystemExit(4)")]}
    spec["containers"] = [container("base", "")]
    api.create_namespaced_pod("default", {"metadata": {"name": "no-init"}, "spec": spec})
    pod = ended("no-init")
    assert pod.status.phase == "Failed"
    assert pod.status.init_container_statuses[0].state.terminated.exit_code == 4
    assert state(pod).waiting.reason == "PodInitializing"


def test_the_termination_message_is_4096_bytes_at_most(start, ended):
    name = start("open('/dev/termination-log', 'w').write('x' * 5000 + 'end'); raise SystemExit(3)")
    pod = ended(name)
    assert pod.status.phase == "Failed"
    assert (state(pod).terminated.exit_code, state(pod).terminated.reason) == (3, "Error")
    assert state(pod).terminated.message == "x" * 4093 + "end"


def test_the_log_s_end_is_the_message_of_a_failure_where_that_is_asked_for(start, ended):
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    failed = ended(start("print('why'); raise SystemExit(1)", container=policy))
    assert state(failed).terminated.message == "why\n"
    done = ended(start("print('why')", container=policy))
    assert state(done).terminated.message is None


def test_a_message_path_may_lie_in_a_volume(start, ended):
    mounts = [{"name": "out", "mountPath": "/outcome"}]
    container = {"terminationMessagePath": "/outcome/message", "volumeMounts": mounts}
    name = start(
        "open('/outcome/message', 'w').write('hello')", volumes=[{"name": "out", "emptyDir": {}}], container=container
    )
    assert state(ended(name)).terminated.message == "hello"


def test_more_memory_than_the_limit_is_killed_by_the_limit(start, ended):
    code = "import time\nkept = []\nwhile True: kept.append(bytearray(b'1' * 2**22)); time.sleep(.002)"
    pod = ended(start(code, container={"resources": {"limits": {"memory": "64Mi"}}}))
    assert (state(pod).terminated.reason, state(pod).terminated.exit_code) == ("OOMKilled", 137)


def test_memory_within_the_limit_is_not(start, ended):
    code = "import time; kept = bytearray(b'1' * 2**24); time.sleep(.3)"
    assert ended(start(code, container={"resources": {"limits": {"memory": "256Mi"}}})).status.phase == "Succeeded"


def test_a_process_that_forks_does_not_pay_twice_for_shared_pages(start, ended):
    code = "import os, time; kept = b'1' * 2**26; os.fork(); time.sleep(.4)"
    assert ended(start(code, container={"resources": {"limits": {"memory": "120Mi"}}})).status.phase == "Succeeded"


def test_a_command_that_is_not_there_says_so(start, ended, api):
    pod = ended(start(container={"command": ["no-such-command"]}))
    assert (state(pod).terminated.reason, state(pod).terminated.exit_code) == ("StartError", 128)
    assert 'exec: "no-such-command": executable file not found in $PATH' in state(pod).terminated.message


def test_a_failed_container_is_tried_again_on_failure(start, ended, log_of):
    mounts = [{"name": "n", "mountPath": "/n"}]
    code = "import os; print('try'); n = len(os.listdir('/n')); open(f'/n/{n}', 'w'); raise SystemExit(n < 2)"
    volumes = [{"name": "n", "emptyDir": {}}]
    name = start(code, restartPolicy="OnFailure", volumes=volumes, container={"volumeMounts": mounts})
    pod = ended(name)
    assert pod.status.phase == "Succeeded"
    status = pod.status.container_statuses[0]
    assert status.restart_count == 2
    assert status.last_state.terminated.exit_code == 1
    assert log_of(name, previous=True) == "try\n"


def test_a_pod_past_its_deadline_fails(start, ended):
    pod = ended(start(FOREVER, activeDeadlineSeconds=1, terminationGracePeriodSeconds=0))
    assert (pod.status.phase, pod.status.reason) == ("Failed", "DeadlineExceeded")
    assert state(pod).terminated.exit_code == 137


TRAP = """
import signal, sys, time
def save(*_):
    open('/dev/termination-log', 'w').write('saved'); sys.exit(5)
signal.signal(signal.SIGTERM, save)
print('up', flush=True)
time.sleep(600)
"""


def test_deletion_asks_first_and_the_pod_may_still_save(api, start, running, cluster, log_of):
    from kubernetes import watch

    name = start(TRAP)
    for line in watch.Watch().stream(api.read_namespaced_pod_log, name, "default"):
        assert line == "up"
        break
    version = api.read_namespaced_pod(name, "default").metadata.resource_version
    marked = api.delete_namespaced_pod(name, "default", grace_period_seconds=10)
    assert marked.metadata.deletion_timestamp
    assert marked.metadata.deletion_grace_period_seconds == 10
    field = f"metadata.name={name}"
    seen = []
    for event in watch.Watch().stream(
        api.list_namespaced_pod, "default", field_selector=field, resource_version=version, timeout_seconds=10
    ):
        seen.append(event)
        if event["type"] == "DELETED":
            break
    last = state(seen[-1]["object"]).terminated
    assert (last.exit_code, last.message, seen[-1]["object"].status.phase) == (5, "saved", "Failed")


def test_who_does_not_listen_is_killed_after_the_grace_period(api, start, running, gone):
    name = start(FOREVER)
    running(name)
    api.delete_namespaced_pod(name, "default", grace_period_seconds=1)
    assert gone(name) > 0.8


def test_without_grace_the_pod_is_gone_at_once_and_its_processes_soon(api, start, running, cluster):
    from kubernetes.client import ApiException

    name = start("import subprocess; subprocess.run(['sleep', '612'])")
    running(name)
    until = time.monotonic() + 60
    while not processes("612") and time.monotonic() < until:
        time.sleep(0.05)
    assert processes("612")
    api.delete_namespaced_pod(name, "default", grace_period_seconds=0)
    with pytest.raises(ApiException, match="404"):
        api.read_namespaced_pod(name, "default")
    while processes("612"):
        assert time.monotonic() < until + 5
        time.sleep(0.05)


def processes(word):
    return [one for one in psutil.process_iter(["cmdline"]) if word in (one.info["cmdline"] or [])]


def test_signals_are_as_a_container_has_them_whatever_the_server_ignores(start, ended, log_of):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = "import signal; print(signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
        name = start(code)
        ended(name)
        assert log_of(name) == f"{signal.default_int_handler} set()\n"
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_claim_may_be_a_folder_of_yours_also_below_a_volume(tmp_path, pod):
    """The pod's own /tmp hides this machine's, where the folder lies."""
    volumes = [{"name": "tmp", "emptyDir": {}}, {"name": "lake", "persistentVolumeClaim": {"claimName": "lake"}}]
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "lake", "mountPath": str(tmp_path)}]
    code = f"import json, os; json.dump(os.listdir('/tmp'), open({str(tmp_path / 'seen')!r}, 'w'))"
    made = pod(code, volumes=volumes, container={"volumeMounts": mounts})
    with NamedTemporaryFile(dir="/tmp") as hidden, Cluster({"python": sys.executable}, claims={"lake": tmp_path}) as it:
        httpx.post(f"{it.url}/api/v1/namespaces/default/pods", json=made).raise_for_status()
        while it.pods()[0]["status"].get("phase") not in ("Succeeded", "Failed"):
            time.sleep(0.02)
        assert Path(hidden.name).name not in json.loads((tmp_path / "seen").read_text())


def test_a_claim_outlives_its_pod(start, ended, log_of):
    volumes = [{"name": "c", "persistentVolumeClaim": {"claimName": "checkpoints"}}]
    container = {"volumeMounts": [{"name": "c", "mountPath": "/checkpoints"}]}
    ended(start("open('/checkpoints/1', 'w').write('epoch 1')", volumes=volumes, container=container))
    name = start("print(open('/checkpoints/1').read())", volumes=volumes, container=container)
    ended(name)
    assert log_of(name) == "epoch 1\n"


def test_conditions_are_those_of_a_finished_pod(start, ended):
    conditions = {one.type: (one.status, one.reason) for one in ended(start("pass")).status.conditions}
    assert conditions["PodScheduled"] == ("True", None)
    assert conditions["Ready"] == ("False", "PodCompleted")
    assert conditions["ContainersReady"] == ("False", "PodCompleted")
    assert conditions["Initialized"] == ("True", "PodCompleted")


def test_a_container_that_fails_for_ever_backs_off(start, when, api):
    name = start("raise SystemExit(2)", restartPolicy="Always")

    def backs_off(pod):
        states = pod.status.container_statuses
        return states and states[0].restart_count > 0 and states[0].state.waiting is not None

    pod = when(name, backs_off)
    assert (pod.status.phase, state(pod).waiting.reason) == ("Running", "CrashLoopBackOff")
    assert pod.status.container_statuses[0].last_state.terminated.exit_code == 2
    api.delete_namespaced_pod(name, "default", grace_period_seconds=0)


def test_what_a_python_imports_from_stays_seen_under_a_volume(tmp_path, pod):
    """As in a checkout below /tmp: the pod's own /tmp would hide its interpreter's packages."""
    (tmp_path / "mine.py").write_text("WORD = 'seen'")
    python = tmp_path / "env" / "bin" / "python"
    venv.create(python.parents[1], system_site_packages=True, symlinks=True)
    (pth,) = python.parents[1].glob("lib/python*/site-packages")
    (pth / "mine.pth").write_text(str(tmp_path))
    volumes, mounts = [{"name": "tmp", "emptyDir": {}}], [{"name": "tmp", "mountPath": "/tmp"}]
    made = pod(
        "import mine; raise SystemExit(mine.WORD != 'seen')", volumes=volumes, container={"volumeMounts": mounts}
    )
    with Cluster({"python": str(python)}) as cluster:
        httpx.post(f"{cluster.url}/api/v1/namespaces/default/pods", json=made).raise_for_status()
        while (phase := cluster.pods()[0]["status"].get("phase")) not in ("Succeeded", "Failed"):
            time.sleep(0.02)
    assert phase == "Succeeded"

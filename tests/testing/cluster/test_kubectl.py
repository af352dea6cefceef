"""kubectl against the cluster; skipped where there is none (Debian: apt-get install kubernetes-client)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


def _minor() -> int:
    if shutil.which("kubectl") is None:
        return 0
    said = subprocess.run(["kubectl", "version", "--client", "-o", "json"], capture_output=True, check=True).stdout
    return int(json.loads(said)["clientVersion"]["minor"].rstrip("+"))


SPEAKS_WEBSOCKETS = _minor() >= 31
FOREVER = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def kubectl(cluster, tmp_path):
    def run(*words, given=None, ok=True):
        command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", f"--cache-dir={tmp_path}", *words]
        ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=30)
        assert (ended.returncode == 0) == ok, ended.stderr
        return ended.stdout if ok else ended.stderr

    return run


def test_create_get_and_delete(kubectl, pod):
    made = pod("print('hello')")
    name = made["metadata"]["name"]
    manifest = json.dumps({"apiVersion": "v1", "kind": "Pod", **made})
    assert kubectl("create", "-f", "-", given=manifest) == f"pod/{name} created\n"
    kubectl("wait", "pod", name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")
    lines = [line.split() for line in kubectl("get", "pods").splitlines()]
    assert lines[0] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [name, "0/1", "Completed", "0"] in [line[:4] for line in lines]
    assert json.loads(kubectl("get", "pod", name, "-o", "json"))["status"]["phase"] == "Succeeded"
    assert kubectl("logs", name) == "hello\n"
    assert kubectl("delete", "pod", name) == f'pod "{name}" deleted\n'
    assert f'Error from server (NotFound): pods "{name}" not found' in kubectl("get", "pod", name, ok=False)


def test_describe_tells_state_and_events(kubectl, start, ended):
    name = start("raise SystemExit(3)")
    ended(name)
    said = kubectl("describe", "pod", name)
    for part in (
        "Status:           Failed",
        "Reason:       Error",
        "Exit Code:    3",
        "Successfully assigned",
        "Started container",
    ):
        assert part in said


@pytest.mark.skipif(not SPEAKS_WEBSOCKETS, reason="kubectl before 1.31 runs exec over SPDY, which is not served")
def test_exec(kubectl, start, running):
    name = start(FOREVER)
    running(name)
    assert kubectl("exec", name, "--", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '").startswith("python -c")
    assert kubectl("exec", "-i", name, "--", "cat", given="there and back") == "there and back"
    assert "exit code 4" in kubectl("exec", name, "--", "sh", "-c", "exit 4", ok=False)


def test_wait_label_and_logs_of_a_running_pod(kubectl, start):
    name = start(FOREVER, terminationGracePeriodSeconds=0)
    assert "condition met" in kubectl("wait", "pod", name, "--for=condition=Ready", "--timeout=20s")
    assert kubectl("logs", name, "--tail=1") == "up\n"
    kubectl("label", "pod", name, "seen=yes")
    assert kubectl("get", "pods", "-l", "seen=yes", "-o", "name") == f"pod/{name}\n"
    kubectl("annotate", "pod", name, "note=this")
    kubectl("delete", "pod", name, "--wait=false")
    kubectl("wait", "pod", name, "--for=delete", "--timeout=10s")


def test_apply_on_either_side(kubectl, pod):
    made = pod(FOREVER)
    name = made["metadata"]["name"]
    for number, side in enumerate(("--server-side=false", "--server-side=false", "--server-side")):
        made["metadata"]["labels"] = {"number": str(number)}
        kubectl("apply", side, "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "Pod", **made}))
        assert kubectl("get", "pod", name, "-o", "jsonpath={.metadata.labels.number}") == str(number)
    fresh = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    kubectl("apply", "--server-side", "-f", "-", given=json.dumps(fresh))
    assert kubectl("get", "cm", "applied", "-o", "jsonpath={.data.a}") == "1"


def test_run_and_follow(kubectl):
    kubectl("run", "by-hand", "--image=python", "--restart=Never", "--command", "--", "echo", "hi")
    kubectl("wait", "pod", "by-hand", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=20s")
    assert kubectl("logs", "-f", "by-hand") == "hi\n"


def test_secrets_and_what_is_served(kubectl):
    # By itself `create secret` sends protobuf, which only JSON clients' API does not read.
    words = ("create", "secret", "generic", "by-hand", "--from-literal=a=1")
    assert "unknown format" in kubectl(*words, ok=False)
    manifest = kubectl(*words, "--dry-run=client", "-o", "json")
    kubectl("create", "-f", "-", given=manifest)
    assert kubectl("get", "secret", "by-hand", "-o", "jsonpath={.data.a}") == "MQ=="
    assert "pods" in kubectl("api-resources")
    assert "v1.32.0" in kubectl("version")


def test_it_is_served_by_hand(tmp_path):
    import signal
    import sys

    command = [sys.executable, "-m", "airflow_mlops_provider.testing.cluster", "--image", "python"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        config = served.stdout.readline().strip().removeprefix("export KUBECONFIG=")
        said = subprocess.run(["kubectl", f"--kubeconfig={config}", "get", "ns", "-o", "name"], capture_output=True)
        assert said.stdout == b"namespace/default\n"
        served.send_signal(signal.SIGTERM)
        assert served.wait(10) == 0
    assert not Path(config).exists()


def test_jobs_and_services(kubectl, pod):
    container = {"command": ["python", "-c", "print('done')"]}
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimit": 0}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "together"}}
    job |= {"spec": {**spec, "template": {"spec": pod(container=container)["spec"]}}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "together"}, "spec": {"clusterIP": "None"}}
    assert kubectl("create", "-f", "-", given=json.dumps(job)) == "job.batch/together created\n"
    assert kubectl("create", "-f", "-", given=json.dumps(service)) == "service/together created\n"
    assert "condition met" in kubectl("wait", "job", "together", "--for=condition=complete", "--timeout=20s")
    assert [line.split()[:3] for line in kubectl("get", "jobs").splitlines()] == [
        ["NAME", "STATUS", "COMPLETIONS"],
        ["together", "Complete", "2/2"],
    ]
    assert "ClusterIP" in kubectl("get", "services", "together")
    assert "2 Succeeded / 0 Failed" in kubectl("describe", "job", "together")
    assert kubectl("delete", "job,service", "together").count("deleted") == 2
    assert kubectl("get", "pods", "-l", "job-name=together", "-o", "name") == ""

"""The trigger of a pod: its event comes late enough, a kill till then deletes the pod, a lost node ends the wait."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest

from airflow_mlops_provider.testing.cluster import Cluster
from airflow_mlops_provider.triggers import kubernetes
from airflow_mlops_provider.triggers.kubernetes import StepPodTrigger, abandoned

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def cluster():
    with Cluster({"python": sys.executable}) as cluster:
        yield cluster


@pytest.fixture
def trigger(cluster):
    """Return the trigger of a pod that ends at once, as a triggerer has it after a restart."""
    container = {"name": "base", "image": "python", "command": ["python", "-c", ""]}
    body = {"metadata": {"name": "p"}, "spec": {"containers": [container], "restartPolicy": "Never"}}
    httpx.post(f"{cluster.url}/api/v1/namespaces/default/pods", json=body).raise_for_status()
    made = StepPodTrigger(
        pod_name="p",
        pod_namespace="default",
        trigger_start_time=datetime.now(UTC),
        base_container_name="base",
        connection_extras={"kube_config_path": str(cluster.kubeconfig)},
        poll_interval=0.1,
        startup_check_interval=0.1,
        trigger_kwargs={"_mlops_changes": {"lost": 1}},
    )
    path, arguments = made.serialize()
    assert path == "airflow_mlops_provider.triggers.kubernetes.StepPodTrigger"
    return StepPodTrigger(**arguments)


async def first(trigger):
    async for event in trigger.run():
        return event.payload
    return None


def test_the_event_comes_no_earlier_than_airflow_can_take_it(trigger, monkeypatch):
    monkeypatch.setattr(kubernetes, "_EARLIEST_S", 3.0)
    began = time.monotonic()
    event = asyncio.run(first(trigger))
    assert time.monotonic() - began >= 3.0
    assert (event["status"], event["_mlops_changes"]) == ("success", {"lost": 1})


def test_who_stops_the_task_while_its_event_waits_has_the_pod_deleted(cluster, trigger, monkeypatch):
    monkeypatch.setattr(kubernetes, "_EARLIEST_S", 60.0)

    async def stopped():
        waiting = asyncio.create_task(first(trigger))
        while [pod["status"]["phase"] for pod in cluster.pods()] != ["Succeeded"]:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
        waiting.cancel()
        await trigger.on_kill()

    asyncio.run(stopped())
    assert cluster.pods() == []


@pytest.mark.parametrize(("ago_s", "expected"), [(None, False), (-30, False), (30, False), (90, True)])
def test_a_deleted_pod_is_given_up_a_minute_after_it_should_be_gone(ago_s, expected):
    until = None if ago_s is None else datetime.now(UTC) - timedelta(seconds=ago_s)
    pod = SimpleNamespace(metadata=SimpleNamespace(deletion_timestamp=until))
    assert abandoned(pod) is expected

"""However many triggers wait for pods, one watch tells them; whatever becomes of it, none misses its pod's end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import time
from collections import Counter
from datetime import UTC, datetime

import httpx
import pytest
from airflow.providers.cncf.kubernetes.utils import pod_manager

from airflow_mlops_provider.testing.cluster import Cluster, Unschedulable
from airflow_mlops_provider.triggers import kubernetes, pod_hook, pod_watch
from airflow_mlops_provider.triggers.kubernetes import StepPodTrigger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Longer than any of these tests: who hears in time was told, and has not looked by chance.
_NEVER_S = 600.0
_SOON_S = 8.0
_PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(kubernetes, "_EARLIEST_S", 0.0)
    with Cluster({"python": sys.executable}) as cluster:
        yield cluster


class Waiting:
    """Pods that wait for a file of their name, and triggers of them."""

    def __init__(self, cluster, folder, pods=1, *, step="train", poll_interval=_NEVER_S, headers=None):
        self.cluster, self.folder, self.poll_interval = cluster, folder, poll_interval
        self.names = [f"p{number}" for number in range(pods)]
        for name in self.names:
            command = ["sh", "-c", f"until [ -e {folder}/{name} ]; do sleep 0.1; done"]
            container = {"name": "base", "image": "python", "command": command}
            labels = {"mlops.step": step} if step else {}
            spec = {"containers": [container], "restartPolicy": "Never"}
            body = {"metadata": {"name": name, "labels": labels}, "spec": spec}
            httpx.post(f"{cluster.url}{_PODS}", json=body, headers=headers).raise_for_status()

    def start(self):
        """Return a task for each pod that ends with its trigger's event."""
        return [asyncio.create_task(self._event(name)) for name in self.names]

    async def _event(self, name):
        trigger = StepPodTrigger(
            pod_name=name,
            pod_namespace="default",
            trigger_start_time=datetime.now(UTC),
            base_container_name="base",
            connection_extras={"kube_config_path": str(self.cluster.kubeconfig)},
            poll_interval=self.poll_interval,
            startup_check_interval=0.2,
        )
        async for event in trigger.run():
            return event.payload["status"]
        raise AssertionError("a trigger without an event")

    async def settle(self):
        """Let all have looked, and the watch be open."""
        await self.until(lambda: self.count("watch") > 0)
        await asyncio.sleep(1.5)

    def end(self, *names):
        for name in names:
            (self.folder / name).touch()

    def count(self, verb, name=""):
        return Counter(call.verb for call in self.cluster.calls if call.path.endswith(f"/pods{name}"))[verb]

    def reads(self):
        return sum(call.verb == "get" and "/pods/" in call.path for call in self.cluster.calls)

    @staticmethod
    async def until(holds):
        async with asyncio.timeout(_SOON_S):
            while not holds():
                await asyncio.sleep(0.05)


@pytest.fixture
def waiting(cluster, tmp_path):
    return Waiting(cluster, tmp_path)


def run(scenario):
    async def limited():
        async with asyncio.timeout(60):
            return await scenario()

    return asyncio.run(limited())


async def told(*tasks, within_s=_SOON_S):
    async with asyncio.timeout(within_s):
        return await asyncio.gather(*tasks)


def test_twenty_triggers_have_one_watch_and_read_nothing_while_nothing_happens(cluster, tmp_path):
    waiting = Waiting(cluster, tmp_path, 20, poll_interval=0.1)

    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        before = waiting.reads()
        await asyncio.sleep(2.0)
        quiet = waiting.reads() - before
        waiting.end(*waiting.names)
        return quiet, await told(*tasks)

    quiet, events = run(scenario)
    assert quiet == 0
    assert events == ["success"] * 20
    assert waiting.count("watch") == 1


def test_a_pods_end_is_told_at_once_whatever_the_interval(waiting):
    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        waiting.end("p0")
        began = time.monotonic()
        return await told(*tasks), time.monotonic() - began

    events, took = run(scenario)
    assert events == ["success"]
    assert took < 3


@pytest.mark.parametrize("harm", ["compact", "away", "refuse", "away and compact"])
def test_an_end_while_the_watch_is_broken_is_told_when_it_is_back(cluster, waiting, harm):
    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        if harm == "compact":
            cluster.compact()
        else:
            cluster.away(3.0, refuse=harm == "refuse")
        waiting.end("p0")
        if harm == "away and compact":
            await waiting.until(lambda: cluster.pods()[0]["status"]["phase"] == "Succeeded")
            cluster.compact()
        return await told(*tasks, within_s=20)

    assert run(scenario) == ["success"]
    assert waiting.count("watch") > 1


def test_a_watch_that_does_not_come_back_is_not_waited_for(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(pod_watch, "_PATIENCE_S", 1.0)
    waiting = Waiting(cluster, tmp_path, poll_interval=0.2)

    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        cluster.throttle(1000, path="/pods$")
        cluster.away(0.1)
        waiting.end("p0")
        return await told(*tasks)

    assert run(scenario) == ["success"]


def test_who_may_not_watch_asks_for_each_pod_and_warns_once(cluster, tmp_path, caplog):
    cluster.forbid("watch", "/pods$")
    cluster.forbid("list", "/pods$")
    waiting = Waiting(cluster, tmp_path, 5, poll_interval=0.2)

    async def scenario():
        tasks = waiting.start()
        await asyncio.sleep(2.0)
        waiting.end(*waiting.names)
        return await told(*tasks)

    with caplog.at_level(logging.WARNING):
        assert run(scenario) == ["success"] * 5
    (said,) = [record.message for record in caplog.records if "may not watch" in record.message]
    assert said == (
        "The triggerer may not watch the pods of namespace default (403): each is read every `poll_interval` seconds. "
        "Give its role the verb `watch` on pods."
    )


def test_one_that_is_cancelled_stops_no_other_and_the_last_one_stops_the_watch(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(pod_watch, "_PERIOD_S", 1)
    waiting = Waiting(cluster, tmp_path, 3)

    async def scenario():
        first, *others = waiting.start()
        await waiting.settle()
        first.cancel()
        await asyncio.sleep(0.2)
        waiting.end("p1", "p2")
        events = await told(*others)
        before = waiting.count("watch")
        await asyncio.sleep(2.5)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        return events, waiting.count("watch") - before, [task for task in left if "_run" in repr(task)]

    events, more, tasks = run(scenario)
    assert events == ["success"] * 2
    assert (more, tasks) == (0, [])


def test_a_watch_that_says_nothing_for_long_is_not_all_that_is_asked(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(pod_hook, "_LOOK_S", 1.0)
    cluster.slow_watch(60.0)
    waiting = Waiting(cluster, tmp_path, poll_interval=0.2)

    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        waiting.end("p0")
        return await told(*tasks)

    assert run(scenario) == ["success"]


def test_a_pod_without_a_steps_label_is_asked_for(cluster, tmp_path):
    waiting = Waiting(cluster, tmp_path, step=None, poll_interval=0.2)

    async def scenario():
        tasks = waiting.start()
        await asyncio.sleep(1.0)
        waiting.end("p0")
        return await told(*tasks)

    assert run(scenario) == ["success"]


def test_a_connection_that_cannot_be_read_again_goes_on_as_it_was(cluster, waiting, monkeypatch):
    monkeypatch.setattr(pod_watch, "_PERIOD_S", 1)

    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        cluster.kubeconfig.rename(cluster.kubeconfig.with_suffix(".gone"))
        before = waiting.count("watch")
        await waiting.until(lambda: waiting.count("watch") > before + 1)
        waiting.end("p0")
        return await told(*tasks)

    assert run(scenario) == ["success"]


def test_a_new_token_is_taken_when_the_old_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(kubernetes, "_EARLIEST_S", 0.0)
    with Cluster({"python": sys.executable}, token="old") as cluster:
        waiting = Waiting(cluster, tmp_path, headers={"Authorization": "Bearer old"})

        async def scenario():
            tasks = waiting.start()
            await waiting.settle()
            cluster.kubeconfig.write_text(cluster.kubeconfig.read_text().replace("token: old", "token: new"))
            cluster._server.token = "new"
            waiting.end("p0")
            return await told(*tasks)

        assert run(scenario) == ["success"]


def test_pods_that_wait_for_a_node_are_not_asked_for_and_their_events_are_shown(cluster, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(pod_manager, "log_pod_event", lambda _, event, __: said.append(event.message))
    cluster.script(itertools.repeat(Unschedulable(for_s=4.0)))
    waiting = Waiting(cluster, tmp_path, 5)
    waiting.end(*waiting.names)

    async def scenario():
        tasks = waiting.start()
        await waiting.settle()
        before = waiting.reads()
        await asyncio.sleep(1.0)
        return waiting.reads() - before, await told(*tasks)

    quiet, events = run(scenario)
    assert quiet == 0
    assert events == ["success"] * 5
    assert Unschedulable().message in said
    assert any("Successfully assigned" in message for message in said)

"""A cluster a module, the official client, and pods that run this Python."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from airflow_mlops_provider.testing.cluster import Cluster

NUMBERS = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster({"python": sys.executable}, backoff_s=0.1, bookmark_s=0.3) as cluster:
        yield cluster


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Return a function that connects the official client to a cluster as its kubeconfig says, or as told."""
    from kubernetes import client, config

    with ExitStack() as stack:

        def connect(cluster: Cluster, **told: Any) -> Any:
            if told:
                configuration = client.Configuration(host=cluster.url)
                vars(configuration).update(told)
                made = client.ApiClient(configuration)
            else:
                made = config.new_client_from_config(str(cluster.kubeconfig))
            stack.callback(made.rest_client.pool_manager.clear)  # its own close leaves the connections open
            return client.CoreV1Api(made)

        yield connect


@pytest.fixture
def api(cluster: Cluster, connect: Callable[..., Any]) -> Any:
    return connect(cluster)


@pytest.fixture
def pod() -> Callable[..., dict[str, Any]]:
    """Return a function that makes a pod of one container that runs a piece of Python, under a name of its own."""

    def make(code: str = "", *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        container = {"name": "base", "image": "python", "command": ["python", "-c", code], **spec.pop("container", {})}
        metadata = {"name": f"pod-{next(NUMBERS)}", "labels": labels or {}}
        return {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [container], **spec}}

    return make


@pytest.fixture
def start(api: Any, pod: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """Return a function that creates such a pod and returns its name."""

    def create(code: str = "", **spec: Any) -> str:
        return api.create_namespaced_pod("default", pod(code, **spec)).metadata.name

    return create


@pytest.fixture
def when(api: Any) -> Callable[..., Any]:
    """Return a function that waits until a pod is as told, and returns it."""

    def wait(name: str, holds: Callable[[Any], bool], timeout_s: float = 120) -> Any:
        until = time.monotonic() + timeout_s
        while not holds(found := api.read_namespaced_pod(name, "default")):
            assert time.monotonic() < until, found.status
            time.sleep(0.02)
        return found

    return wait


@pytest.fixture
def ended(when: Callable[..., Any]) -> Callable[[str], Any]:
    """Return a function that waits for a pod's end, and returns it."""
    return lambda name: when(name, lambda found: found.status.phase in ("Succeeded", "Failed"))


@pytest.fixture
def running(when: Callable[..., Any]) -> Callable[[str], Any]:
    """Return a function that waits until a pod runs, and returns it."""
    return lambda name: when(name, lambda found: found.status.phase == "Running")


@pytest.fixture
def log_of(api: Any) -> Callable[..., str]:
    """Return a function that reads a pod's log as bytes come, past the client's own decoding."""

    def read(name: str, **options: Any) -> str:
        response = api.read_namespaced_pod_log(name, "default", _preload_content=False, **options)
        with response:
            return response.read().decode()

    return read


@pytest.fixture
def gone(api: Any) -> Callable[[str], float]:
    """Return a function that waits until a pod is no longer there; it returns the seconds that took."""

    def wait(name: str) -> float:
        since = time.monotonic()
        while name in [one.metadata.name for one in api.list_namespaced_pod("default").items]:
            assert time.monotonic() - since < 60
            time.sleep(0.02)
        return time.monotonic() - since

    return wait

"""The asynchronous official client: a pod's whole life."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.asyncio


async def test_create_watch_read_and_delete(cluster, pod):
    from kubernetes_asyncio import client, config, watch

    made = pod("import time; print('hello', flush=True); time.sleep(.3); print('end')")
    name = made["metadata"]["name"]
    async with await config.new_client_from_config(str(cluster.kubeconfig)) as connection:
        api = client.CoreV1Api(connection)
        await api.create_namespaced_pod("default", made)
        async with watch.Watch() as stream:
            async for event in stream.stream(
                api.list_namespaced_pod, "default", field_selector=f"metadata.name={name}", timeout_seconds=20
            ):
                if event["object"].status.phase == "Succeeded":
                    break
        assert await api.read_namespaced_pod_log(name, "default") == "hello\nend\n"
        await api.delete_namespaced_pod(name, "default")
        with pytest.raises(client.ApiException, match="404"):
            await api.read_namespaced_pod(name, "default")


async def test_a_follower_gets_lines_as_they_come(cluster, pod):
    from kubernetes_asyncio import client, config

    made = pod("import time\nfor n in range(3): print(n, flush=True); time.sleep(.1)")
    async with await config.new_client_from_config(str(cluster.kubeconfig)) as connection:
        api = client.CoreV1Api(connection)
        found = await api.create_namespaced_pod("default", made)
        while found.status.phase == "Pending":
            await asyncio.sleep(0.02)
            found = await api.read_namespaced_pod(found.metadata.name, "default")
        answer = await api.read_namespaced_pod_log(found.metadata.name, "default", follow=True, _preload_content=False)
        assert [line async for line in answer.content] == [b"0\n", b"1\n", b"2\n"]


async def test_exec(cluster, pod):
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.stream import WsApiClient

    made = pod("import time; time.sleep(600)")
    name = made["metadata"]["name"]
    settings = client.Configuration()
    await config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    async with client.ApiClient(settings) as connection:
        api = client.CoreV1Api(connection)
        await api.create_namespaced_pod("default", made)
        while (await api.read_namespaced_pod(name, "default")).status.phase != "Running":
            await asyncio.sleep(0.02)
    async with WsApiClient(settings) as connection:
        said = await client.CoreV1Api(connection).connect_get_namespaced_pod_exec(
            name, "default", command=["echo", "inside"], stdout=True, stderr=True, stdin=False, tty=False
        )
    assert said == "inside\n"


async def test_a_forgotten_version_is_gone_for_it_too(cluster):
    from kubernetes_asyncio import client, config, watch

    async with await config.new_client_from_config(str(cluster.kubeconfig)) as connection:
        api = client.CoreV1Api(connection)
        version = (await api.list_namespaced_pod("default")).metadata.resource_version
        await asyncio.to_thread(cluster.compact)
        async with watch.Watch() as stream:
            with pytest.raises(client.ApiException, match="410"):
                await anext(stream.stream(api.list_namespaced_pod, "default", resource_version=version))

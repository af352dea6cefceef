"""The cluster in a thread of this process: started, reached, harmed, closed."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml
from aiohttp import web

from airflow_mlops_provider.testing.cluster.faults import Evict, Fault, NodeLost, Preempt
from airflow_mlops_provider.testing.cluster.image import Image, image_of
from airflow_mlops_provider.testing.cluster.jobcontroller import JobController
from airflow_mlops_provider.testing.cluster.kubelet import Kubelet
from airflow_mlops_provider.testing.cluster.objects import Json, Key
from airflow_mlops_provider.testing.cluster.process import check_namespaces
from airflow_mlops_provider.testing.cluster.server import Call, Server
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["Cluster"]

HOST = "127.0.0.1"
Result = TypeVar("Result")


class Cluster:
    """A Kubernetes API on a free port, whose containers are processes of this machine; a context manager.

    ```python
    with Cluster({"train:1": sys.executable}) as cluster:
        monkeypatch.setenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", cluster.airflow_connection())
        cluster.script([Evict(after_s=1), None], "dag_id=churn")  # the first pod is evicted, the second one spared
        ...  # run the DAG
        assert [pod["status"]["phase"] for pod in cluster.pods()] == ["Failed", "Succeeded"]
    ```

    `images` maps an image's name to an `Image`, or to the path of a Python interpreter; any other name fails to be
    pulled. `claims` maps a persistent volume claim's name to its folder; any other claim gets one
    of its own. `backoff_s` is the first wait before a container or a pull is tried again (10 in a real cluster),
    `bookmark_s` the time between a watch's bookmarks. With a `token` every request needs it. Raises ConfigError at
    the start if this machine gives processes no namespaces of their own.

    A container has this machine's files, network and user, and on top of them its volumes; what it writes elsewhere is
    written for real. CPU and GPU counts, probes, lifecycle hooks and security contexts are kept and not enforced;
    memory limits are. Jobs are indexed ones, all of their pods at once, that one failed pod fails; a headless service
    gives its pods names, all of them of this machine's own address.
    """

    def __init__(
        self,
        images: Mapping[str, str | Image],
        *,
        namespaces: Iterable[str] = ("default",),
        claims: Mapping[str, str | Path] | None = None,
        port: int = 0,
        token: str | None = None,
        backoff_s: float = 1.0,
        bookmark_s: float = 60.0,
    ) -> None:
        self._images = {name: image_of(given) for name, given in images.items()}
        self._namespaces = tuple(namespaces)
        self._claims = dict(claims or {})
        self._port = port
        self._token = token
        self._backoff_s = backoff_s
        self._bookmark_s = bookmark_s

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # -- open and close -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start to serve."""
        check_namespaces()
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="cluster", daemon=True)
        self._thread.start()
        try:
            self._do(self._open())
        except BaseException:
            self._stop()
            raise
        self.kubeconfig.write_text(yaml.safe_dump(self._kubeconfig()))

    def close(self) -> None:
        """Kill every container and stop to serve."""
        self._do(self._shut())
        self._stop()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder)

    async def _open(self) -> None:
        listener = socket.create_server((HOST, self._port))
        self._port = listener.getsockname()[1]
        store = Store()
        base = {"KUBERNETES_SERVICE_HOST": HOST, "KUBERNETES_SERVICE_PORT": str(self._port)}
        self._kubelet = Kubelet(store, self._images, self._folder, base, self._backoff_s)
        self._jobs = JobController(store, self._kubelet)
        self._jobs.start()
        self._server = Server(store, self._kubelet, self._token, self._bookmark_s)
        for name in self._namespaces:
            self._server.add_namespace(name)
            self._lay_out_claims(name)
        # A watch whose client has gone must not wait for the next change to notice.
        self._runner = web.AppRunner(self._server.app(), handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, listener)
        await self._site.start()

    def _lay_out_claims(self, namespace: str) -> None:
        folder = self._folder / "claims" / namespace
        folder.mkdir(parents=True)
        for name, place in self._claims.items():
            (folder / name).symlink_to(Path(place).resolve())

    async def _shut(self) -> None:
        self._jobs.stop()
        await self._kubelet.close()
        await self._runner.cleanup()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    def _do(self, work: Coroutine[Any, Any, Result]) -> Result:  # Any: asyncio's own, nobody's concern
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # -- how to reach it ----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The API's address."""
        return f"http://{HOST}:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The file for `KUBECONFIG`, `kubectl --kubeconfig` and the clients' `load_kube_config`."""
        return self._folder / "kubeconfig"

    def airflow_connection(self, namespace: str = "default") -> str:
        """Return the JSON of a `kubernetes` connection, for `AIRFLOW_CONN_KUBERNETES_DEFAULT`."""
        extra = {"kube_config_path": str(self.kubeconfig), "namespace": namespace}
        return json.dumps({"conn_type": "kubernetes", "extra": extra})

    def _kubeconfig(self) -> Json:
        user = {"token": self._token} if self._token else {}
        context = {"cluster": "local", "user": "local", "namespace": "default"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [{"name": "local", "cluster": {"server": self.url}}],
            "contexts": [{"name": "local", "context": context}],
            "users": [{"name": "local", "user": user}],
        }

    # -- what is there ------------------------------------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """What the API was asked so far, in order."""
        return list(self._server.calls)

    def pods(self, namespace: str = "default") -> list[Json]:
        """Return the pods as the API has them, by name."""

        async def select() -> list[Json]:
            return copy.deepcopy(self._server.store.select("pods", namespace))

        return self._do(select())

    # -- faults -------------------------------------------------------------------------------------------------

    def script(self, faults: Iterable[Fault | None], selector: str = "") -> None:
        """Give these faults to the next new pods that match the label selector, in order; None spares a pod.

        An endless iterable, such as `itertools.repeat(Evict())`, serves every pod. An empty selector means all pods.
        The first script that has a fault, or None, for a pod counts.
        """
        self._call(self._kubelet.script.add, faults, selector)

    def inflict(self, fault: Evict | Preempt | NodeLost, pod: str, namespace: str = "default") -> None:
        """Let this happen to a pod now; return once it is under way. Raises ApiError 404 if there is no such pod."""

        async def now() -> None:
            self._kubelet.afflict(Key("pods", namespace, pod), fault)

        self._do(now())

    def throttle(self, times: int = 1, *, retry_after_s: int = 1, path: str = "") -> None:
        """Answer 429 to the next `times` requests whose path has the pattern `path` in it."""
        self._call(self._server.faults.throttle, times, retry_after_s, path)

    def forbid(self, verb: str, path: str = "") -> None:
        """Answer 403 to this verb (`get`, `list`, `watch` …) where the pattern `path` is in the path, from now on."""
        self._server.faults.forbid(verb, path)

    def slow_watch(self, delay_s: float) -> None:
        """Tell each watch each change that much later."""
        self._server.faults.watch_delay_s = delay_s

    def compact(self) -> None:
        """Forget the history: each watch, and who would go on from an older resourceVersion, gets 410 Gone."""
        self._call(self._server.store.compact)

    def away(self, for_s: float, *, refuse: bool = False) -> None:
        """Cut every connection and answer 503 for `for_s` seconds, or `refuse` connections; pods run on."""
        self._do(self._away(for_s, refuse=refuse))

    async def _away(self, for_s: float, *, refuse: bool) -> None:
        if refuse:
            await self._site.stop()
            self._back = self._loop.call_later(for_s, lambda: self._loop.create_task(self._listen()))
        else:
            self._server.faults.away(for_s)
        assert self._runner.server
        for connection in self._runner.server.connections:
            if connection.transport:
                connection.transport.abort()

    async def _listen(self) -> None:
        self._site = web.SockSite(self._runner, socket.create_server((HOST, self._port)))
        await self._site.start()

    def _call(self, function: Any, *args: Any) -> None:  # Any: passed on as it comes
        async def call() -> None:
            function(*args)

        self._do(call())

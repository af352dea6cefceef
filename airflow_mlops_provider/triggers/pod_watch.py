"""One watch of a namespace's step pods for all the triggers of a triggerer that wait for one of them."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from kubernetes_asyncio import client as k8s

__all__ = ["STEP_LABEL", "PodWatch", "watching"]

_LOG = logging.getLogger(__name__)

# Every pod of KubernetesStepOperator has it.
STEP_LABEL = "mlops.step"
# So long one request watches: a connection that died in silence, or a token that ran out, is noticed then.
_PERIOD_S = 50
_CLIENT_TIMEOUT_S = _PERIOD_S + 10
# So long a watch that broke may take to come back before everybody reads for himself again.
_PATIENCE_S = 60.0
_QUICKEST_RETRY_S, _SLOWEST_RETRY_S = 0.2, 5.0
_UNWATCHED = (
    "The triggerer may not watch the pods of namespace %s (403): each is read every `poll_interval` seconds. "
    "Give its role the verb `watch` on pods."
)
_OK, _UNAUTHORIZED, _FORBIDDEN, _GONE = 200, 401, 403, 410


class PodWatch:
    """Sets an event of who waits for a pod when there may be something new of it, and lends everybody one client.

    It tells that a pod changed, never what it is now: that each reads for himself. `trusted` says whether silence
    means that nothing changed.
    """

    def __init__(self, connect: Callable[[], Any], namespace: str) -> None:
        self._connect, self._namespace = connect, namespace
        self._news: dict[str, set[asyncio.Event]] = {}
        self._version: str | None = None
        self._trusted_until = -math.inf
        self._failures = 0
        self._warned = False
        self._line: _Line | None = None
        self._opening = asyncio.Lock()
        self._task = asyncio.create_task(self._run())

    @property
    def trusted(self) -> bool:
        """Whether who has heard nothing has missed nothing: also while the API is away, but not for long."""
        return asyncio.get_running_loop().time() < self._trusted_until

    def join(self, name: str) -> asyncio.Event:
        """Return the event that is set from now on when the pod may have changed."""
        news = asyncio.Event()
        self._news.setdefault(name, set()).add(news)
        return news

    def leave(self, name: str, news: asyncio.Event) -> bool:
        """Watch no longer where nobody waits any more; return whether that is so."""
        self._news[name].discard(news)
        if not self._news[name]:
            del self._news[name]
        if not self._news:
            self._task.cancel()
        return not self._news

    @asynccontextmanager
    async def client(self) -> AsyncIterator[k8s.ApiClient]:
        """Lend the client: to make one takes longer than to ask a hundred times."""
        async with self._opening:
            if self._line is None:
                self._line = await _Line.open(self._connect())
            line = self._line
            line.users += 1
        try:
            yield line.client
        except k8s.ApiException as exc:
            if exc.status == _UNAUTHORIZED:
                # Who tries again has the new token.
                await self._renew(line)
            raise
        finally:
            await line.release()

    # -- the watch ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                wait_s = await self._tried(self._follow())
                wait_s = max(wait_s, await self._tried(self._renew(self._line)))
                await asyncio.sleep(wait_s * random.uniform(0.5, 1))
        finally:
            await self._put(None)

    async def _tried(self, work: Coroutine[Any, Any, None]) -> float:
        """Return how many seconds to wait after this."""
        try:
            await work
        except Exception as exc:  # noqa: BLE001  # who waits reads for himself then, and raises what is wrong
            return self._failed(exc)
        return _QUICKEST_RETRY_S

    async def _follow(self) -> None:
        async with self.client() as client:
            asked: dict[str, Any] = {"label_selector": STEP_LABEL, "watch": True, "allow_watch_bookmarks": True}
            asked |= {"resource_version": self._version} if self._version else {}
            response: Any = await k8s.CoreV1Api(client).list_namespaced_pod(
                self._namespace,
                **asked,
                timeout_seconds=_PERIOD_S,
                _request_timeout=_CLIENT_TIMEOUT_S,
                _preload_content=False,  # as it comes: aiohttp's own response
            )
            async with response:
                if response.status != _OK:
                    raise k8s.ApiException(status=response.status, reason=response.reason)
                self._failures, self._trusted_until = 0, math.inf
                if self._version is None:
                    self._tell_all()
                async for line in response.content:
                    self._hear(json.loads(line))

    def _hear(self, event: dict[str, Any]) -> None:
        found = event["object"]
        if event["type"] == "ERROR":
            raise k8s.ApiException(status=found.get("code"), reason=found.get("message"))
        self._version = found["metadata"]["resourceVersion"]
        # What was added is not news: who waits for it has read it, or been told when the watch began.
        if event["type"] in ("MODIFIED", "DELETED"):
            self._tell(found["metadata"]["name"])

    def _tell(self, name: str) -> None:
        for news in self._news.get(name, ()):
            news.set()

    def _tell_all(self) -> None:
        for name in self._news:
            self._tell(name)

    def _failed(self, exc: Exception) -> float:
        status = getattr(exc, "status", None)
        if status == _FORBIDDEN:
            self._trusted_until = -math.inf
            if not self._warned:
                _LOG.warning(_UNWATCHED, self._namespace)
            self._warned = True
            return float(_PERIOD_S)
        if status == _GONE:
            self._version = None
        self._failures += 1
        self._trusted_until = min(self._trusted_until, asyncio.get_running_loop().time() + _PATIENCE_S)
        if self._failures == 1:
            _LOG.info("the watch of the pods of namespace %s broke, it is tried again: %r", self._namespace, exc)
        return min(2.0**self._failures, _SLOWEST_RETRY_S)

    async def _renew(self, old: _Line | None) -> None:
        """Take what may have changed in the connection, such as its token; where that fails, the old client stays."""
        async with self._opening:
            # Of the many that are refused at the same time one renews it.
            if self._line is old:
                await self._put(await _Line.open(self._connect()))

    async def _put(self, line: _Line | None) -> None:
        before, self._line = self._line, line
        if before is not None:
            await before.release()


class _Line:
    """A client that is closed when its last user, the watch among them, has released it."""

    def __init__(self, client: k8s.ApiClient, closing: AsyncExitStack) -> None:
        self.client, self._closing, self.users = client, closing, 1

    @classmethod
    async def open(cls, hook: Any) -> _Line:  # an AsyncKubernetesHook: untyped there
        closing = AsyncExitStack()
        return cls(await closing.enter_async_context(hook.get_conn()), closing)

    async def release(self) -> None:
        self.users -= 1
        if not self.users:
            await self._closing.aclose()


@asynccontextmanager
async def watching(
    key: Hashable, connect: Callable[[], Any], namespace: str, name: str
) -> AsyncIterator[tuple[PodWatch, asyncio.Event]]:
    """Give the watch that all share who ask in one event loop with an equal `key`, and the pod's event.

    `connect` makes a hook with a fresh look at the connection.
    """
    watches = _WATCHES.setdefault(asyncio.get_running_loop(), {})
    watch = watches.get(key)
    if watch is None:
        watch = watches[key] = PodWatch(connect, namespace)
    news = watch.join(name)
    try:
        yield watch, news
    finally:
        if watch.leave(name, news) and watches.get(key) is watch:
            del watches[key]


_WATCHES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, PodWatch]] = WeakKeyDictionary()

"""Lists and watches, and the form in which an object is answered."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

from aiohttp import web

from airflow_mlops_provider.testing.cluster.discovery import RESOURCES
from airflow_mlops_provider.testing.cluster.faults import ApiFaults
from airflow_mlops_provider.testing.cluster.objects import Json, flag
from airflow_mlops_provider.testing.cluster.selectors import field_selector, label_selector
from airflow_mlops_provider.testing.cluster.status import ApiError, bad_request, expired
from airflow_mlops_provider.testing.cluster.store import Change, Store
from airflow_mlops_provider.testing.cluster.table import table

__all__ = ["answer", "listing", "watch"]

_INITIAL_END = {"k8s.io/initial-events-end": "true"}


def answer(request: web.Request, resource: str, item: Json, code: int = 200) -> web.Response:
    """Answer one object, as a table where that is asked for."""
    return web.json_response(_shown(request, resource, item), status=code)


def listing(request: web.Request, store: Store) -> Json:
    """Return the list that the request asks for, a page of it where it says `limit`."""
    resource = request.match_info["resource"]
    items = store.select(resource, request.match_info.get("namespace"), _chosen(request))
    version, first = _page(request, store)
    limit = int(request.query.get("limit") or 0) or len(items)
    meta: Json = {"resourceVersion": str(version)}
    if left := len(items[first + limit :]):
        token = json.dumps({"version": version, "first": first + limit}).encode()
        meta |= {"continue": base64.urlsafe_b64encode(token).decode(), "remainingItemCount": left}
    items = items[first : first + limit]
    if _as_table(request):
        return table(resource, items, meta)
    kind = RESOURCES[resource]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}


def _page(request: web.Request, store: Store) -> tuple[int, int]:
    if token := request.query.get("continue"):
        page = json.loads(base64.urlsafe_b64decode(token))
        try:
            store.after(page["version"])
        except ApiError as exc:
            raise expired("The provided continue parameter is too old to display a consistent list result.") from exc
        return page["version"], page["first"]
    return store.version, 0


async def watch(request: web.Request, store: Store, faults: ApiFaults, bookmark_s: float) -> web.StreamResponse:
    """Stream the changes from the version asked for, after what is there now if none is."""
    stream = _Stream(request, store, faults)
    response = await stream.open()
    try:
        await stream.follow(bookmark_s)
    except ApiError as exc:
        await stream.send("ERROR", exc.body)
    await response.write_eof()
    return response


class _Stream:
    def __init__(self, request: web.Request, store: Store, faults: ApiFaults) -> None:
        self._request, self._store, self._faults = request, store, faults
        self._resource = request.match_info["resource"]
        self._namespace = request.match_info.get("namespace")
        self._holds = _chosen(request)
        self._bookmarks = flag(request.query, "allowWatchBookmarks")
        self._response = web.StreamResponse(headers={"Content-Type": "application/json"})
        asked = request.query.get("resourceVersion", "")
        self._initial: list[Json] | None = None
        if asked in ("", "0") or flag(request.query, "sendInitialEvents"):
            self._initial = store.select(self._resource, self._namespace, self._holds)
            self._version = store.version
        elif asked.isdigit():
            self._version = int(asked)
        else:
            raise bad_request(f'invalid resource version "{asked}"')

    async def open(self) -> web.StreamResponse:
        await self._response.prepare(self._request)
        return self._response

    async def follow(self, bookmark_s: float) -> None:
        for item in self._initial or []:
            await self.send("ADDED", item)
        if flag(self._request.query, "sendInitialEvents"):
            await self._bookmark(_INITIAL_END)
        loop = asyncio.get_running_loop()
        until = loop.time() + float(self._request.query.get("timeoutSeconds") or 3600)
        due = loop.time() + bookmark_s
        with self._store.moves() as moved:
            while loop.time() < until:
                moved.clear()
                await self._catch_up()
                await _wait(moved, min(until, due))
                if loop.time() >= min(until, due):
                    await self._bookmark({})
                    due = loop.time() + bookmark_s

    async def _catch_up(self) -> None:
        news = [(self._kind(change), change) for change in self._store.after(self._version)]
        if any(kind for kind, _ in news):
            await asyncio.sleep(self._faults.watch_delay_s)
        for kind, change in news:
            if kind:
                await self.send(kind, change.final)
            self._version = change.version

    def _kind(self, change: Change) -> str | None:
        """Return what the change is to this watch: an object that no longer matches is deleted to it."""
        if change.key.resource != self._resource or self._namespace not in (None, change.key.namespace):
            return None
        before = change.before is not None and self._holds(change.before)
        after = change.after is not None and self._holds(change.after)
        kinds = {(False, True): "ADDED", (True, True): "MODIFIED", (True, False): "DELETED"}
        return kinds.get((before, after))

    async def _bookmark(self, annotations: Json) -> None:
        if self._bookmarks:
            meta: Json = {"resourceVersion": str(self._version), "creationTimestamp": None}
            meta |= {"annotations": annotations} if annotations else {}
            kind = RESOURCES[self._resource]
            await self._write("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": meta})

    async def send(self, kind: str, item: Json) -> None:
        await self._write(kind, item if kind == "ERROR" else _shown(self._request, self._resource, item))

    async def _write(self, kind: str, item: Json) -> None:
        await self._response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")


async def _wait(moved: asyncio.Event, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await moved.wait()
    except TimeoutError:
        return  # that is the answer


def _chosen(request: web.Request) -> Callable[[Json], bool]:
    by_label = label_selector(request.query.get("labelSelector", ""))
    by_field = field_selector(request.query.get("fieldSelector", ""))
    return lambda item: by_label(item) and by_field(item)


def _as_table(request: web.Request) -> bool:
    return "as=Table" in request.headers.get("Accept", "")


def _shown(request: web.Request, resource: str, item: Json) -> Json:
    meta = {"resourceVersion": item["metadata"].get("resourceVersion", "")}
    return table(resource, [item], meta) if _as_table(request) else item

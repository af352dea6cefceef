"""The routes of the Kubernetes API: objects, logs, exec, discovery."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from aiohttp import web

from airflow_mlops_provider.testing.cluster import discovery
from airflow_mlops_provider.testing.cluster.exec import ExecOptions, run_exec
from airflow_mlops_provider.testing.cluster.faults import ApiFaults
from airflow_mlops_provider.testing.cluster.kubelet import Kubelet
from airflow_mlops_provider.testing.cluster.listing import answer, listing, watch
from airflow_mlops_provider.testing.cluster.objects import Json, Key, flag
from airflow_mlops_provider.testing.cluster.patch import APPLY, patched
from airflow_mlops_provider.testing.cluster.podlogs import log_of, log_options, running_process
from airflow_mlops_provider.testing.cluster.resources import made, updated
from airflow_mlops_provider.testing.cluster.status import (
    ApiError,
    bad_request,
    no_such_path,
    not_allowed,
    unauthorized,
    unsupported_media,
)
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["Call", "Server"]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OPEN = ("/healthz", "/livez", "/readyz")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Call:
    """One request that came: `verb` in Kubernetes' words, `code` what it was answered."""

    verb: str
    path: str
    query: Mapping[str, str]
    code: int


@dataclass
class Server:
    """The API over one store and one kubelet; `calls` has what was asked of it."""

    store: Store
    kubelet: Kubelet
    token: str | None = None
    bookmark_s: float = 60.0
    faults: ApiFaults = field(default_factory=ApiFaults)
    calls: list[Call] = field(default_factory=list)

    def app(self) -> web.Application:
        """Return the application with every route."""
        app = web.Application(middlewares=[self._guarded], client_max_size=3 * 1024**2)
        for path, document in discovery.documents().items():
            app.router.add_get(path, _document(document))
            app.router.add_get(f"{path}/", _document(document))
        for path in _OPEN:
            app.router.add_get(path, _ok)
        pod = "/api/v1/namespaces/{namespace}/{resource:pods}/{name}"
        app.router.add_get(pod + "/log", self._log)
        app.router.add_route("*", pod + "/exec", self._exec)
        app.router.add_route("*", "/api/v1/{resource:namespaces}", self._collection)
        app.router.add_route("*", "/api/v1/{resource:namespaces}/{name}", self._item)
        app.router.add_route("*", pod + "/{sub:status}", self._item)
        job = "/apis/batch/v1/namespaces/{namespace}/{resource:jobs}/{name}"
        app.router.add_route("*", job + "/{sub:status}", self._item)
        for root, names in (("/api/v1", "pods|secrets|configmaps|events|services"), ("/apis/batch/v1", "jobs")):
            namespaced = f"{root}/namespaces/{{namespace}}/{{resource:{names}}}"
            app.router.add_route("*", namespaced + "/{name}", self._item)
            app.router.add_route("*", namespaced, self._collection)
            app.router.add_route("*", f"{root}/{{resource:{names}}}", self._collection)
        app.router.add_route("*", "/{rest:.*}", _nothing)
        return app

    def add_namespace(self, name: str) -> None:
        """Make a namespace that is there from the start."""
        self.store.create("namespaces", made("namespaces", "", {"metadata": {"name": name}}))

    # -- around every request -----------------------------------------------------------------------------------

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        # Recorded when it comes, so that a watch in progress is seen.
        number = len(self.calls)
        self.calls.append(Call(_verb(request), request.path, dict(request.query), 200))
        try:
            self.faults.check(_verb(request), request.path)
            if self.token and request.path not in _OPEN:
                self._authorize(request)
            response = await handler(request)
        except ApiError as exc:
            response = web.json_response(exc.body, status=exc.code, headers=exc.headers)
        self.calls[number] = replace(self.calls[number], code=response.status)
        return response

    def _authorize(self, request: web.Request) -> None:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(sent.encode(), str(self.token).encode()):
            raise unauthorized()

    # -- objects ------------------------------------------------------------------------------------------------

    async def _collection(self, request: web.Request) -> web.StreamResponse:
        resource, namespace = request.match_info["resource"], request.match_info.get("namespace")
        if request.method == "GET" and flag(request.query, "watch"):
            return await watch(request, self.store, self.faults, self.bookmark_s)
        if request.method == "GET":
            return web.json_response(listing(request, self.store))
        if request.method == "POST" and (namespace or resource == "namespaces"):
            return await self._create(request, resource, namespace)
        if request.method == "DELETE" and namespace:
            return await self._delete_all(request, resource, namespace)
        raise not_allowed(request.method)

    async def _create(self, request: web.Request, resource: str, namespace: str | None) -> web.Response:
        if namespace:
            self.store.get(Key("namespaces", "", namespace))
        item = made(resource, namespace or "", await _body(request))
        if request.query.get("dryRun") == "All":
            return answer(request, resource, item, 201)
        item = self.store.create(resource, item)
        if resource == "pods":
            self.kubelet.admit(item)
        self.kubelet.collect_late(Key(resource, namespace or "", item["metadata"]["name"]), item)
        return answer(request, resource, item, 201)

    async def _delete_all(self, request: web.Request, resource: str, namespace: str) -> web.Response:
        chosen, options = listing(request, self.store), await _options(request)
        for item in chosen["items"]:
            await self.kubelet.delete(Key(resource, namespace, item["metadata"]["name"]), options)
        return web.json_response(chosen)

    async def _item(self, request: web.Request) -> web.StreamResponse:
        key = _key(request)
        match request.method:
            case "GET":
                return answer(request, key.resource, self.store.get(key))
            case "PUT":
                return self._update(request, key, await _body(request))
            case "PATCH":
                return await self._patch(request, key)
            case "DELETE":
                return await self._delete(request, key)
        raise not_allowed(request.method)

    async def _patch(self, request: web.Request, key: Key) -> web.Response:
        if request.content_type == APPLY and self.store.find(key) is None:
            return await self._create(request, key.resource, key.namespace)
        patch = await _body(request)
        return self._update(request, key, patched(self.store.get(key), patch, request.content_type))

    async def _delete(self, request: web.Request, key: Key) -> web.Response:
        options = await _options(request)
        if key.resource == "namespaces":
            for resource in ("jobs", "services", "pods", "secrets", "configmaps", "events"):
                for item in self.store.select(resource, key.name):
                    # One that went with its owner is no longer there.
                    if self.store.find(own := Key(resource, key.name, item["metadata"]["name"])):
                        await self.kubelet.delete(own, {"propagationPolicy": "Background"})
        return web.json_response(await self.kubelet.delete(key, options))

    def _update(self, request: web.Request, key: Key, sent: Json) -> web.Response:
        item = updated(key.resource, self.store.get(key), sent, status_only="sub" in request.match_info)
        if request.query.get("dryRun") != "All":
            item = self.store.replace(key.resource, item)
        return answer(request, key.resource, item)

    # -- pods' own ----------------------------------------------------------------------------------------------

    async def _log(self, request: web.Request) -> web.StreamResponse:
        pod = self.store.get(_key(request))
        log = log_of(self.kubelet.run_of(pod), request)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for line in log.read(log_options(request)):
            await response.write(line)
        await response.write_eof()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        pod = self.store.get(_key(request))
        process = running_process(self.kubelet.run_of(pod), request)
        query = request.query
        options = ExecOptions(query.getall("command", []), flag(query, "stdin"), flag(query, "tty"))
        if not options.command:
            raise bad_request("you must specify at least 1 command for the container")
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise bad_request("exec is served over websockets alone: v5.channel.k8s.io or v4.channel.k8s.io")
        return await run_exec(request, process, options)


def _verb(request: web.Request) -> str:
    if request.method == "GET":
        if flag(request.query, "watch"):
            return "watch"
        return "get" if "name" in request.match_info else "list"
    if request.method == "DELETE" and "name" not in request.match_info:
        return "deletecollection"
    return _VERBS.get(request.method, request.method.lower())


def _key(request: web.Request) -> Key:
    match = request.match_info
    return Key(match["resource"], match.get("namespace", ""), match["name"])


async def _body(request: web.Request) -> Any:  # Any: the request's JSON
    if "protobuf" in request.content_type:
        raise unsupported_media(request.content_type)
    text = await request.text()
    try:
        return yaml.safe_load(text) if "yaml" in request.content_type else json.loads(text)
    except (ValueError, yaml.YAMLError) as exc:
        raise bad_request(f"the object provided is unrecognized: {exc}") from exc


async def _options(request: web.Request) -> Json:
    """Return the DeleteOptions of the body, with those of the query under them."""
    options: Json = {}
    if grace := request.query.get("gracePeriodSeconds"):
        options["gracePeriodSeconds"] = int(grace)
    if policy := request.query.get("propagationPolicy"):
        options["propagationPolicy"] = policy
    return options | ((await _body(request)) or {} if request.can_read_body else {})


def _document(document: Json) -> Handler:
    async def serve(_: web.Request) -> web.Response:
        return web.json_response(document)

    return serve


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _nothing(_: web.Request) -> web.Response:
    raise no_such_path()

"""What the API says about itself: versions, groups, resources."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops_provider.testing.cluster.objects import Json

__all__ = ["RESOURCES", "Resource", "groups", "openapi", "openapi_v1", "resources", "version", "versions"]

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True)
class Resource:
    """One kind of object of the core group."""

    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("pods", "Pod", ("po",), subresources=("log", "exec", "status")),
        Resource("secrets", "Secret"),
        Resource("configmaps", "ConfigMap", ("cm",)),
        Resource("events", "Event", ("ev",)),
        Resource("namespaces", "Namespace", ("ns",), namespaced=False),
    )
}


def version() -> Json:
    """Return the answer of /version."""
    words = ("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion")
    unknown = dict.fromkeys(words, "")
    return {**unknown, "major": "1", "minor": "32", "gitVersion": "v1.32.0", "platform": "linux/amd64"}


def versions() -> Json:
    """Return the answer of /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups() -> Json:
    """Return the answer of /apis: no group but the core."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}


def resources() -> Json:
    """Return the answer of /api/v1."""
    listed = []
    for resource in RESOURCES.values():
        one = {"name": resource.plural, "singularName": resource.kind.lower(), "namespaced": resource.namespaced}
        one |= {"kind": resource.kind, "verbs": _VERBS}
        listed.append(one | ({"shortNames": list(resource.short)} if resource.short else {}))
        listed += [
            {"name": f"{resource.plural}/{sub}", "singularName": "", "namespaced": True, "kind": resource.kind}
            | {"verbs": ["create", "get"] if sub == "exec" else ["get"] if sub == "log" else ["get", "patch", "update"]}
            for sub in resource.subresources
        ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": listed}


def openapi() -> Json:
    """Return the answer of /openapi/v3: where the one document is."""
    return {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1"}}}


def openapi_v1() -> Json:
    """Return as much of the OpenAPI document as lets `kubectl` leave validation to the server."""
    paths = {}
    for resource in RESOURCES.values():
        base = "/api/v1/namespaces/{namespace}" if resource.namespaced else "/api/v1"
        parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
        kind = {"group": "", "version": "v1", "kind": resource.kind}
        patch = {"parameters": parameters, "x-kubernetes-group-version-kind": kind, "responses": {}}
        paths[f"{base}/{resource.plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": paths}

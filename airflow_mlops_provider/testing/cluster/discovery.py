"""What the API says about itself: versions, groups, resources."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_mlops_provider.testing.cluster.objects import Json

__all__ = ["BATCH", "CORE", "RESOURCES", "Resource", "documents"]

CORE, BATCH = "v1", "batch/v1"
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


@dataclass(frozen=True)
class Resource:
    """One kind of object; `api_version` is `v1` for the core group, else group and version."""

    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    api_version: str = CORE

    @property
    def group(self) -> str:
        """The group's name; the core's is empty."""
        return self.api_version.rpartition("/")[0]


RESOURCES = {
    resource.plural: resource
    for resource in (
        Resource("pods", "Pod", ("po",), subresources=("log", "exec", "status")),
        Resource("secrets", "Secret"),
        Resource("configmaps", "ConfigMap", ("cm",)),
        Resource("events", "Event", ("ev",)),
        Resource("services", "Service", ("svc",)),
        Resource("namespaces", "Namespace", ("ns",), namespaced=False),
        Resource("jobs", "Job", subresources=("status",), api_version=BATCH),
    )
}


def documents() -> dict[str, Json]:
    """Return what each path answers that tells about the API."""
    core = {"kind": "APIVersions", "versions": [CORE], "serverAddressByClientCIDRs": []}
    version = {"groupVersion": BATCH, "version": "v1"}
    batch = {"name": "batch", "versions": [version], "preferredVersion": version}
    found = {
        "/version": _version(),
        "/api": core,
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [batch]},
        "/apis/batch": {"kind": "APIGroup", "apiVersion": "v1", **batch},
    }
    roots = {CORE: "api/v1", BATCH: f"apis/{BATCH}"}
    for api_version, root in roots.items():
        found |= {f"/{root}": _resources(api_version), f"/openapi/v3/{root}": _openapi(api_version, root)}
    served = {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots.values()}
    return found | {"/openapi/v3": {"paths": served}}


def _of(api_version: str) -> list[Resource]:
    return [resource for resource in RESOURCES.values() if resource.api_version == api_version]


def _version() -> Json:
    words = ("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion")
    unknown = dict.fromkeys(words, "")
    return {**unknown, "major": "1", "minor": "32", "gitVersion": "v1.32.0", "platform": "linux/amd64"}


def _resources(api_version: str) -> Json:
    listed = []
    for resource in _of(api_version):
        one = {"name": resource.plural, "singularName": resource.kind.lower(), "namespaced": resource.namespaced}
        one |= {"kind": resource.kind, "verbs": _VERBS}
        listed.append(one | ({"shortNames": list(resource.short)} if resource.short else {}))
        listed += [
            {"name": f"{resource.plural}/{sub}", "singularName": "", "namespaced": True, "kind": resource.kind}
            | {"verbs": ["create", "get"] if sub == "exec" else ["get"] if sub == "log" else ["get", "patch", "update"]}
            for sub in resource.subresources
        ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": listed}


def _openapi(api_version: str, root: str) -> Json:
    """Return as much of the OpenAPI document as lets `kubectl` leave validation to the server."""
    paths = {}
    for resource in _of(api_version):
        base = f"/{root}/namespaces/{{namespace}}" if resource.namespaced else f"/{root}"
        parameters = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
        kind = {"group": resource.group, "version": "v1", "kind": resource.kind}
        patch = {"parameters": parameters, "x-kubernetes-group-version-kind": kind, "responses": {}}
        paths[f"{base}/{resource.plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": paths}

"""Headless services: what the API refuses and fills in, and the host names that they give pods."""

from __future__ import annotations

import os
from pathlib import Path

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.podstatus import ADDRESS
from airflow_mlops_provider.testing.cluster.status import invalid
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["machine_hosts", "new_service", "write_hosts"]

_SPEC: Json = {
    "type": "ClusterIP",
    "clusterIPs": ["None"],
    "internalTrafficPolicy": "Cluster",
    "ipFamilies": ["IPv4"],
    "ipFamilyPolicy": "SingleStack",
    "sessionAffinity": "None",
}
_MACHINE = Path("/etc/hosts")


def new_service(sent: Json) -> Json:
    """Return the service with the API's defaults. Raises ApiError 422 for one that is not headless."""
    spec = sent.get("spec") or {}
    if spec.get("clusterIP") != "None":
        said = 'Forbidden: this cluster serves headless services alone: clusterIP "None"'
        raise invalid("Service", sent["metadata"]["name"], [("FieldValueForbidden", "spec.clusterIP", said)])
    return sent | {"spec": {**_SPEC, **spec}, "status": {"loadBalancer": {}}}


def machine_hosts() -> str:
    """Return this machine's own host names."""
    return _MACHINE.read_text() if _MACHINE.exists() else f"{ADDRESS}\tlocalhost\n"


def write_hosts(store: Store, namespace: str, file: Path) -> None:
    """Write this machine's host names, and those of the namespace's pods, into the file that its pods see."""
    lines = [machine_hosts()]
    for service in store.select("services", namespace):
        lines += [_line(pod, namespace) for pod in store.select("pods", namespace, lambda pod: _known(pod, service))]  # noqa: B023  # used up at once
    data = "".join(lines).encode()
    if file.read_bytes() == data:
        return
    # In place: containers have this very file mounted.
    number = os.open(file, os.O_WRONLY)
    os.write(number, data)
    os.ftruncate(number, len(data))
    os.close(number)


def _known(pod: Json, service: Json) -> bool:
    meta, spec = service["metadata"], service["spec"]
    labels = pod["metadata"].get("labels") or {}
    wanted = spec.get("selector") or {}
    if pod["spec"].get("subdomain") != meta["name"] or not wanted or not wanted.items() <= labels.items():
        return False
    phases = ("Pending", "Running") if spec.get("publishNotReadyAddresses") else ("Running",)
    return pod["status"]["phase"] in phases and "podIP" in pod["status"]


def _line(pod: Json, namespace: str) -> str:
    short = f"{pod['spec']['hostname']}.{pod['spec']['subdomain']}"
    return f"{ADDRESS}\t{short}.{namespace}.svc.cluster.local {short}.{namespace}.svc {short}.{namespace} {short}\n"

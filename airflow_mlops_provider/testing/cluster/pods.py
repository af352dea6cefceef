"""A new pod: what the API refuses, and what it fills in."""

from __future__ import annotations

import copy
import re

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.quantity import quantity
from airflow_mlops_provider.testing.cluster.status import invalid

__all__ = ["check_name", "check_update", "containers_of", "new_pod"]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_CONTAINER = {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
_CONTAINER |= {"terminationMessagePolicy": "File"}
_SPEC: Json = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "serviceAccountName": "default",
    "serviceAccount": "default",
    "securityContext": {},
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
    "preemptionPolicy": "PreemptLowerPriority",
    "priority": 0,
}
_UPDATE_RULE = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
    "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)

Cause = tuple[str, str, str]


def containers_of(pod: Json) -> list[Json]:
    """Return the specs of the pod's containers, those of initContainers first."""
    spec = pod["spec"]
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def check_name(kind: str, name: str) -> None:
    """Raise ApiError 422 unless `name` may name an object."""
    if not _NAME.fullmatch(name):
        raise invalid(kind, name, [("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {_NAME_RULE}')])


def new_pod(sent: Json) -> Json:
    """Return the pod with the API's defaults and its first status. Raises ApiError 422 for one that cannot be."""
    pod = copy.deepcopy(sent)
    pod["spec"] = pod.get("spec") or {}
    if causes := _causes(pod):
        raise invalid("Pod", pod["metadata"]["name"], causes)
    pod["spec"] = {**_SPEC, **pod["spec"]}
    for container in containers_of(pod):
        container.update({**_CONTAINER, "resources": {}, **container})
        _request_the_limits(container["resources"])
    pod["status"] = {"phase": "Pending", "qosClass": _quality(pod)}
    return pod


def check_update(before: Json, after: Json) -> None:
    """Raise ApiError 422 if more of the pod's spec changed than may."""
    if _fixed(before) != _fixed(after):
        raise invalid("Pod", before["metadata"]["name"], [("FieldValueForbidden", "spec", _UPDATE_RULE)])


def _fixed(pod: Json) -> Json:
    changing = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")
    spec = {name: value for name, value in pod["spec"].items() if name not in changing}
    for part in ("containers", "initContainers"):
        spec[part] = [container | {"image": ""} for container in spec.get(part) or []]
    return spec


def _causes(pod: Json) -> list[Cause]:
    spec = pod["spec"]
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(("FieldValueRequired", "spec.containers", "Required value"))
    policy = spec.get("restartPolicy", "Always")
    if policy not in ("Always", "OnFailure", "Never"):
        said = f'Unsupported value: "{policy}": supported values: "Always", "OnFailure", "Never"'
        causes.append(("FieldValueNotSupported", "spec.restartPolicy", said))
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    seen: set[str] = set()
    for number, container in enumerate(spec.get("containers") or []):
        causes += _container_causes(f"spec.containers[{number}]", container, volumes, seen)
    return causes


def _container_causes(field: str, container: Json, volumes: set[str], seen: set[str]) -> list[Cause]:
    name = container.get("name", "")
    causes: list[Cause] = []
    if not name:
        causes.append(("FieldValueRequired", f"{field}.name", "Required value"))
    if name in seen:
        causes.append(("FieldValueDuplicate", f"{field}.name", f'Duplicate value: "{name}"'))
    seen.add(name)
    if not container.get("image"):
        causes.append(("FieldValueRequired", f"{field}.image", "Required value"))
    for number, mount in enumerate(container.get("volumeMounts") or []):
        if mount["name"] not in volumes:
            said = f'Not found: "{mount["name"]}"'
            causes.append(("FieldValueNotFound", f"{field}.volumeMounts[{number}].name", said))
    return causes + _quantity_causes(f"{field}.resources", container.get("resources") or {})


def _quantity_causes(field: str, resources: Json) -> list[Cause]:
    causes: list[Cause] = []
    for part in ("limits", "requests"):
        for name, text in (resources.get(part) or {}).items():
            try:
                quantity(str(text))
            except ValueError:
                causes.append(("FieldValueInvalid", f"{field}.{part}[{name}]", f'Invalid value: "{text}"'))
    return causes


def _request_the_limits(resources: Json) -> None:
    if limits := resources.get("limits"):
        resources["requests"] = {**limits, **(resources.get("requests") or {})}


def _quality(pod: Json) -> str:
    resources = [container["resources"] for container in containers_of(pod)]
    asked = [part for one in resources for part in (one.get("limits"), one.get("requests")) if part]
    if not asked:
        return "BestEffort"
    guaranteed = all({"cpu", "memory"} <= set(one.get("limits") or {}) for one in resources)
    guaranteed = guaranteed and all(one["limits"] == one["requests"] for one in resources)
    return "Guaranteed" if guaranteed else "Burstable"

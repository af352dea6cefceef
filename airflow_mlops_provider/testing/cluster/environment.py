"""A container's environment and command: only what its pod's spec and its image say."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from airflow_mlops_provider.testing.cluster.image import Image
from airflow_mlops_provider.testing.cluster.objects import Json, Key
from airflow_mlops_provider.testing.cluster.quantity import quantity
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["ConfigMissing", "command_of", "data_of", "environment_of", "field_of", "hostname_of"]

_REFERENCE = re.compile(r"\$(\$|\(([^)]+)\))")


class ConfigMissing(Exception):  # noqa: N818 - it may come yet: the container waits for it
    """A secret or config map, or a key in it, that the pod needs and that is not there."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """Return `text` with `$(NAME)` replaced; `$$` is a dollar sign, an unknown name stays as it is."""

    def known(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else env.get(found[2], found[0])

    return _REFERENCE.sub(known, text)


def command_of(container: Json, image: Image, env: Mapping[str, str]) -> list[str]:
    """Return the words to run: `command` replaces the image's entrypoint and cmd, `args` its cmd alone."""
    command, args = container.get("command"), container.get("args")
    words = [*(command or image.entrypoint), *(args or ([] if command else image.cmd))]
    return [expand(word, env) for word in words]


def environment_of(pod: Json, container: Json, image: Image, store: Store, base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables. Raises ConfigMissing where a source is not there and is not optional."""
    env = {**image.environment(), **base, "HOSTNAME": hostname_of(pod)}
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom") or []:
        kind = "secrets" if "secretRef" in source else "configmaps"
        reference = source.get("secretRef") or source.get("configMapRef")
        data = data_of(store, kind, namespace, reference)
        env |= {f"{source.get('prefix', '')}{name}": value.decode() for name, value in data.items()}
    for variable in container.get("env") or []:
        value = _value(pod, container, variable, store, env)
        if value is not None:
            env[variable["name"]] = value
    return env


def hostname_of(pod: Json) -> str:
    """Return the host name of the pod's containers."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63]


def data_of(store: Store, resource: str, namespace: str, reference: Json) -> dict[str, bytes]:
    """Return the entries of a secret or config map; none if it is optional and absent. Raises ConfigMissing."""
    name = reference.get("name") or reference.get("secretName") or ""
    item = store.find(Key(resource, namespace, name))
    if item is None:
        if reference.get("optional"):
            return {}
        raise ConfigMissing(f'{resource.removesuffix("s")} "{name}" not found')
    if resource == "secrets":
        return {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (item.get("binaryData") or {}).items()}
    return {key: value.encode() for key, value in (item.get("data") or {}).items()} | binary


def field_of(pod: Json, path: str) -> str:
    """Return the field that a downward API reference names, such as metadata.labels['run']."""
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((pod["metadata"].get(found[1]) or {}).get(found[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        entries = pod["metadata"].get(path.split(".")[1]) or {}
        return "\n".join(f'{name}="{value}"' for name, value in sorted(entries.items()))
    value: Json | str = pod
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)


def _value(pod: Json, container: Json, variable: Json, store: Store, env: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", env)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return _resource(container, source["resourceFieldRef"])
    resource = "secrets" if "secretKeyRef" in source else "configmaps"
    reference = source.get("secretKeyRef") or source["configMapKeyRef"]
    data = data_of(store, resource, pod["metadata"]["namespace"], reference)
    if reference["key"] in data:
        return data[reference["key"]].decode()
    if reference.get("optional"):
        return None
    kind = "Secret" if resource == "secrets" else "ConfigMap"
    place = f"{pod['metadata']['namespace']}/{reference['name']}"
    raise ConfigMissing(f"couldn't find key {reference['key']} in {kind} {place}")


def _resource(container: Json, reference: Json) -> str:
    part, _, name = reference["resource"].partition(".")
    amount = quantity(str(container["resources"].get(part, {}).get(name, "0")))
    return str(-(-amount // quantity(str(reference.get("divisor") or "1"))))

"""The three patches that clients send: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.status import ApiError, unsupported_media

__all__ = ["APPLY", "patched"]

APPLY = "application/apply-patch+yaml"
# The lists of pods and their metadata that a strategic patch merges, and the key it merges them by.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "conditions": "type",
    "ownerReferences": "uid",
    "tolerations": "key",
    "containerStatuses": "name",
}


def patched(item: Json, patch: Any, content_type: str) -> Json:  # Any: the body, a list for a JSON patch
    """Return `item` after `patch`. Raises ApiError 415 for an unknown type and 422 for a path that is not there."""
    if content_type == "application/json-patch+json":
        return _json_patch(item, patch)
    if content_type == "application/merge-patch+json":
        return dict(_merge(item, patch))
    # An apply is served as the merge that it is for the one manager that there is here.
    if content_type in ("application/strategic-merge-patch+json", APPLY):
        return dict(_strategic(item, patch))
    raise unsupported_media(content_type)


def _merge(item: Any, patch: Any) -> Any:  # Any: any JSON value, as RFC 7396 has it
    if not isinstance(patch, dict):
        return patch
    merged = dict(item) if isinstance(item, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


def _strategic(item: Any, patch: Any) -> Any:  # Any: any JSON value
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    merged = dict(item) if isinstance(item, dict) else {}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, list) and name in _MERGE_KEYS:
            merged[name] = _strategic_list(merged.get(name) or [], value, _MERGE_KEYS[name])
        else:
            merged[name] = _strategic(merged.get(name), value)
    return merged


def _strategic_list(items: list[Json], patches: list[Json], key: str) -> list[Json]:
    merged = {item.get(key): item for item in items}
    for patch in patches:
        if patch.get("$patch") == "delete":
            merged.pop(patch.get(key), None)
        else:
            merged[patch.get(key)] = _strategic(merged.get(patch.get(key)), patch)
    return list(merged.values())


def _json_patch(item: Json, operations: list[Json]) -> Json:
    result = copy.deepcopy(item)
    for operation in operations:
        try:
            _apply(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            message = f"the server rejected our request due to an error in our request: {operation}"
            raise ApiError(422, "Invalid", message) from exc
    return result


def _apply(item: Json, operation: Json) -> None:
    verb, path = operation["op"], _path(operation["path"])
    if verb in ("move", "copy"):
        source = _path(operation["from"])
        value = copy.deepcopy(_at(item, source[:-1])[_index(_at(item, source[:-1]), source[-1])])
        if verb == "move":
            _change(item, "remove", source, None)
        _change(item, "add", path, value)
    else:
        _change(item, verb, path, operation.get("value"))


def _change(item: Json, verb: str, path: list[str], value: Any) -> None:  # Any: any JSON value
    parent = _at(item, path[:-1])
    index = _index(parent, path[-1])
    if verb == "add" and isinstance(parent, list):
        parent.insert(index, value)
    elif verb == "add":
        parent[index] = value
    elif verb == "replace":
        del parent[index]  # a value that is not there cannot be replaced
        parent.insert(index, value) if isinstance(parent, list) else parent.update({index: value})
    elif verb == "remove":
        del parent[index]
    elif verb != "test" or parent[index] != value:
        raise ValueError(f"{verb} {path}")


def _path(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _at(item: Any, path: list[str]) -> Any:  # Any: any JSON value
    for part in path:
        item = item[_index(item, part)]
    return item


def _index(parent: Any, part: str) -> Any:  # Any: a list's index or an object's name
    if isinstance(parent, list):
        return len(parent) if part == "-" else int(part)
    return part

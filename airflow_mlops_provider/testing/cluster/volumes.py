"""A pod's volumes as folders of this machine, and what of them a container sees where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from airflow_mlops_provider.testing.cluster.environment import ConfigMissing, data_of, field_of
from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.process import Mount
from airflow_mlops_provider.testing.cluster.status import invalid
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["check_volumes", "fill_volumes", "mounts_of", "uncovered"]

_KINDS = ("emptyDir", "hostPath", "persistentVolumeClaim", "secret", "configMap", "downwardAPI", "projected")
_WRITTEN = ("secret", "configMap", "downwardAPI", "projected")


def check_volumes(pod: Json) -> None:
    """Raise ApiError 422 for a volume of a kind that is not served here."""
    for number, volume in enumerate(pod["spec"].get("volumes") or []):
        if not set(volume) & set(_KINDS):
            said = f"Forbidden: this cluster serves {', '.join(_KINDS)}"
            raise invalid("Pod", pod["metadata"]["name"], [("FieldValueForbidden", f"spec.volumes[{number}]", said)])


def fill_volumes(pod: Json, store: Store, folder: Path, claims: Path) -> dict[str, str]:
    """Make each volume and return its folder by its name. Raises ConfigMissing for a source that is not there.

    A persistent volume claim is a folder of its namespace and name that outlives the pod.
    """
    places = {}
    for volume in pod["spec"].get("volumes") or []:
        if host := volume.get("hostPath"):
            place = Path(host["path"])
        elif claim := volume.get("persistentVolumeClaim"):
            place = claims / pod["metadata"]["namespace"] / claim["claimName"]
        else:
            place = folder / volume["name"]
        if "hostPath" not in volume or volume["hostPath"].get("type") == "DirectoryOrCreate":
            place.mkdir(parents=True, exist_ok=True)
        for name, data in _files(pod, volume, store).items():
            _write(place / name, data)
        places[volume["name"]] = str(place)
    return places


def mounts_of(pod: Json, container: Json, places: dict[str, str]) -> list[Mount]:
    """Return what the container sees where."""
    written = {
        volume["name"] for volume in pod["spec"].get("volumes") or [] if any(kind in volume for kind in _WRITTEN)
    }
    mounts = []
    for mount in container.get("volumeMounts") or []:
        source = Path(places[mount["name"]], mount.get("subPath") or "")
        if not source.exists():
            source.mkdir(parents=True)
        read_only = bool(mount.get("readOnly")) or mount["name"] in written
        mounts.append(Mount(str(source), mount["mountPath"].rstrip("/"), read_only))
    return mounts


def uncovered(folders: Iterable[str], mounts: Sequence[Mount]) -> list[Mount]:
    """Return mounts that let these folders of this machine be seen under volumes that would hide them."""
    found: list[Mount] = []
    for folder in sorted(folders):
        hidden = any(Path(folder).is_relative_to(mount.target) for mount in mounts)
        seen = any(Path(folder).is_relative_to(mount.target) for mount in found) or any(
            Path(mount.source).resolve() == Path(mount.target) and Path(folder).is_relative_to(mount.target)
            for mount in mounts
        )
        if hidden and not seen:
            found.append(Mount(folder, folder))
    return found


def _files(pod: Json, volume: Json, store: Store) -> dict[str, bytes]:
    namespace = pod["metadata"]["namespace"]
    if source := volume.get("secret"):
        return _chosen(data_of(store, "secrets", namespace, source), source)
    if source := volume.get("configMap"):
        return _chosen(data_of(store, "configmaps", namespace, source), source)
    if source := volume.get("downwardAPI"):
        return {item["path"]: field_of(pod, item["fieldRef"]["fieldPath"]).encode() for item in source["items"]}
    files: dict[str, bytes] = {}
    for part in (volume.get("projected") or {}).get("sources") or []:
        files |= _files(pod, part, store)
    return files


def _chosen(data: dict[str, bytes], source: Json) -> dict[str, bytes]:
    if not source.get("items"):
        return data
    missing = [item["key"] for item in source["items"] if item["key"] not in data]
    if missing and not source.get("optional"):
        raise ConfigMissing(f"references non-existent secret key: {missing[0]}")
    return {item["path"]: data[item["key"]] for item in source["items"] if item["key"] in data}


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

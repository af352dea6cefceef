"""What the pods of the one node share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_mlops_provider.testing.cluster.image import Image
from airflow_mlops_provider.testing.cluster.objects import Key
from airflow_mlops_provider.testing.cluster.services import machine_hosts
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["Node"]


@dataclass(frozen=True)
class Node:
    """The node's parts; `backoff_s` is the first wait before a container or a pull is tried again.

    `delete` deletes a pod with a grace period in seconds, or with its own if that is None.
    """

    store: Store
    images: Mapping[str, Image]
    folder: Path
    base_env: Mapping[str, str]
    backoff_s: float
    delete: Callable[[Key, float | None], Awaitable[object]]
    name: str = "node-1"

    def hosts(self, namespace: str) -> Path:
        """Return the file of host names that a namespace's pods share."""
        file = self.folder / "hosts" / namespace
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            file.write_text(machine_hosts())
        return file

"""The objects of the cluster, their resource versions, and the changes that a watch follows."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter

from airflow_mlops_provider.testing.cluster.objects import Json, Key, key_of, new_uid, stamp
from airflow_mlops_provider.testing.cluster.status import already_exists, conflict, expired, not_found

__all__ = ["Change", "Store"]

KEPT = 5_000


@dataclass(frozen=True)
class Change:
    """One step of the history: `before` is None for a new object, `after` is None for a removed one."""

    version: int
    key: Key
    before: Json | None
    after: Json | None
    final: Json


class Store:
    """Every object by its key. Only the server's event loop touches it, so that there is nothing to lock.

    What it hands out is its own; who changes it works on a copy and gives that to `replace`.
    """

    def __init__(self) -> None:
        self.version = 1
        self._items: dict[Key, Json] = {}
        self._history: deque[Change] = deque()
        self._oldest = 1  # a watch can go on from here
        self._moved: set[asyncio.Event] = set()

    def create(self, resource: str, item: Json) -> Json:
        """Keep a new object under a fresh uid. Raises ApiError 409 if the name is taken."""
        key = key_of(resource, item)
        if key in self._items:
            raise already_exists(resource, key.name)
        made = copy.deepcopy(item)
        made["metadata"] |= {"uid": new_uid(), "creationTimestamp": stamp()}
        return self._put(key, None, made)

    def get(self, key: Key) -> Json:
        """Return the object. Raises ApiError 404 if there is none."""
        if key not in self._items:
            raise not_found(key.resource, key.name)
        return self._items[key]

    def find(self, key: Key, uid: str | None = None) -> Json | None:
        """Return the object, or None if there is none or it is another one of that name."""
        item = self._items.get(key)
        return item if item and uid in (None, item["metadata"]["uid"]) else None

    def select(
        self, resource: str, namespace: str | None = None, holds: Callable[[Json], bool] = lambda _: True
    ) -> list[Json]:
        """Return the objects of a resource for which `holds` is true, by namespace and name."""
        found = [
            (key, item)
            for key, item in self._items.items()
            if key.resource == resource and namespace in (None, key.namespace) and holds(item)
        ]
        return [item for _, item in sorted(found, key=itemgetter(0))]

    def replace(self, resource: str, item: Json) -> Json:
        """Put `item` in its predecessor's place; one that names an older resourceVersion is an ApiError 409."""
        key = key_of(resource, item)
        before = self.get(key)
        if (
            item["metadata"].get("resourceVersion", before["metadata"]["resourceVersion"])
            != (before["metadata"]["resourceVersion"])
        ):
            raise conflict(resource, key.name)
        if item == before:
            return before
        return self._put(key, before, copy.deepcopy(item))

    def remove(self, key: Key) -> Json:
        """Remove the object and return its last form. Raises ApiError 404 if there is none."""
        before = self.get(key)
        self.version += 1
        del self._items[key]
        last = before | {"metadata": before["metadata"] | {"resourceVersion": str(self.version)}}
        self._tell(Change(self.version, key, before, None, last))
        return last

    def compact(self) -> None:
        """Forget the history: a watch that wants to go on from an older version is told 410."""
        self._history.clear()
        self.version += 1  # else who has just listed would still be at the newest version
        self._oldest = self.version
        self._wake()

    def after(self, version: int) -> list[Change]:
        """Return the changes since `version`. Raises ApiError 410 if some of them are forgotten."""
        if version < self._oldest:
            raise expired(f"too old resource version: {version} ({self._oldest})")
        newer = list(takewhile(lambda change: change.version > version, reversed(self._history)))
        return newer[::-1]

    @contextmanager
    def moves(self) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever there may be something new."""
        moved = asyncio.Event()
        self._moved.add(moved)
        try:
            yield moved
        finally:
            self._moved.discard(moved)

    def _put(self, key: Key, before: Json | None, item: Json) -> Json:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self._items[key] = item
        self._tell(Change(self.version, key, before, item, item))
        return item

    def _tell(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > KEPT:
            self._oldest = self._history.popleft().version
        self._wake()

    def _wake(self) -> None:
        for moved in self._moved:
            moved.set()

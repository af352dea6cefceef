"""What Kubernetes objects share: their type here, their times, their keys."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

__all__ = ["Json", "Key", "flag", "key_of", "new_uid", "now", "parse_time", "stamp"]

# A Kubernetes object or a part of one: its form is the Kubernetes API's, which has no types here.
Json = dict[str, Any]


class Key(NamedTuple):
    """Where one object lives: plural resource name, namespace, name."""

    resource: str
    namespace: str
    name: str


def flag(query: Mapping[str, str], name: str) -> bool:
    """Tell whether the query says yes, in one of the words that Kubernetes takes for it."""
    return query.get(name) in ("1", "t", "T", "true", "True", "TRUE")


def key_of(resource: str, item: Json) -> Key:
    """Return the key of `item`."""
    return Key(resource, item["metadata"].get("namespace", ""), item["metadata"]["name"])


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def stamp(at: datetime | None = None) -> str:
    """Return `at`, or now, as Kubernetes writes a time: whole seconds, UTC, `Z`."""
    return (at or now()).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Return the time that an RFC 3339 `text` tells. Raises ValueError if it tells none."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def new_uid() -> str:
    """Return a fresh uid."""
    return str(uuid.uuid4())

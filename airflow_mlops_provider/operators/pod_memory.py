"""What a task's next try must know of this one's pod, in Airflow's task state store where there is one (from 3.3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["Memory", "recall", "remember"]

_KEY = "mlops_pod"


@dataclass(frozen=True)
class Memory:
    """The pod whose end nobody has read yet and the job that it is of; and what earlier pods taught."""

    name: str | None = None
    namespace: str | None = None
    job: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)


def recall(context: Context) -> Memory:
    """Return what an earlier try remembered; nothing where the task was cleared since: then all begins anew."""
    store = context.get("task_state_store")
    found: Any = store.get(_KEY) if store is not None else None
    if not isinstance(found, dict) or found.get("of") != _generation(context):
        return Memory()
    return Memory(found["name"], found["namespace"], found.get("job"), found["changes"])


def remember(context: Context, memory: Memory) -> None:
    """Keep it for the next try."""
    store = context.get("task_state_store")
    if store is not None:
        store.set(_KEY, {**asdict(memory), "of": _generation(context)})


def _generation(context: Context) -> int:
    """Return what stays from try to try and changes when people clear the task: it may then try so often again."""
    return int(getattr(context["ti"], "max_tries", 0))

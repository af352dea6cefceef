"""Trigger on a new version of a lake's table."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.triggers.wait import WaitTrigger

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.lake import Lake

__all__ = ["DatasetVersionTrigger"]


class DatasetVersionTrigger(WaitTrigger):
    """Fire once `table` has a version later than `after` (null: any version), as the trigger of an `AssetWatcher` at
    each later one.

    The event is `{"version": n}`. Triggers on one table share one look. What goes wrong while looking ends the trigger
    and fails its task, which a retry may get past.
    """

    def __init__(
        self, *, lake: str, table: str, after: int | None, lake_conn_id: str = "lake_default", poke_interval: float = 60
    ) -> None:
        super().__init__(poke_interval)
        self.lake = lake
        self.table = table
        self.after = after
        self.lake_conn_id = lake_conn_id
        self._opened: Lake | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and its arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "lake": self.lake,
            "table": self.table,
            "after": self.after,
            "lake_conn_id": self.lake_conn_id,
            "poke_interval": self.poke_interval,
        }

    @property
    def watched(self) -> tuple[str, ...]:
        """The table."""
        return ("version", self.lake_conn_id, self.lake, self.table)

    async def look(self) -> int | None:
        """Return the table's version."""
        if self._opened is None:
            self._opened = await LakeHook(self.lake_conn_id, self.lake).aget_conn()
        return await asyncio.to_thread(self._opened.version, self.table)

    def event(self, found: int | None) -> dict[str, Any] | None:
        """Return the event of a later version."""
        if found is None or (self.after is not None and found <= self.after):
            return None
        self.after = found
        return {"version": found}

"""Trigger on a new version of a lake's table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.triggers.wait import looks

__all__ = ["DatasetVersionTrigger"]


class DatasetVersionTrigger(BaseTrigger):
    """Fire once `table` has a version later than `after` (null: any version).

    The event is `{"version": n}`. What goes wrong while looking ends the trigger and fails its task, which a
    retry may get past.
    """

    def __init__(
        self, *, lake: str, table: str, after: int | None, lake_conn_id: str = "lake_default", poke_interval: float = 60
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.lake = lake
        self.table = table
        self.after = after
        self.lake_conn_id = lake_conn_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and its arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "lake": self.lake,
            "table": self.table,
            "after": self.after,
            "lake_conn_id": self.lake_conn_id,
            "poke_interval": self.poke_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the version is there."""
        hook = LakeHook(self.lake_conn_id, self.lake)
        lake = await hook.aget_conn()
        async for _ in looks(self.poke_interval):
            version = await asyncio.to_thread(lake.version, self.table)
            if version is not None and (self.after is None or version > self.after):
                yield TriggerEvent({"version": version})  # type: ignore[no-untyped-call]  # Airflow's own
                return

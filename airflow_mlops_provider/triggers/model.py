"""Trigger on another version behind a model's alias."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.triggers.wait import looks

__all__ = ["ModelVersionTrigger"]


class ModelVersionTrigger(BaseTrigger):
    """Fire once `alias` of `model` names a version other than `other_than` (null: any version).

    The event is `{"version": "3"}`.
    """

    def __init__(
        self,
        *,
        model: str,
        alias: str,
        other_than: str | None,
        mlflow_conn_id: str = "mlflow_default",
        poke_interval: float = 60,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own
        self.model = model
        self.alias = alias
        self.other_than = other_than
        self.mlflow_conn_id = mlflow_conn_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and its arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "model": self.model,
            "alias": self.alias,
            "other_than": self.other_than,
            "mlflow_conn_id": self.mlflow_conn_id,
            "poke_interval": self.poke_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the version is there."""
        hook = MlflowHook(self.mlflow_conn_id)
        fields = await hook.afields()
        async for _ in looks(self.poke_interval):
            version = await asyncio.to_thread(hook.alias_version, self.model, self.alias, fields)
            if version is not None and version != self.other_than:
                yield TriggerEvent({"version": version})  # type: ignore[no-untyped-call]  # Airflow's own
                return

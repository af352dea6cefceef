"""Trigger on another version behind a model's alias."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.triggers.wait import WaitTrigger

__all__ = ["ModelVersionTrigger"]


class ModelVersionTrigger(WaitTrigger):
    """Fire once `alias` of `model` names a version other than `other_than` (null: any version), as the trigger of an
    `AssetWatcher` at each other one.

    The event is `{"version": "3"}`. Triggers that wait for the same change share one look.
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
        super().__init__(poke_interval)
        self.model = model
        self.alias = alias
        self.other_than = None if other_than is None else str(other_than)
        self.mlflow_conn_id = mlflow_conn_id
        self._fields: dict[str, Any] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and its arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "model": self.model,
            "alias": self.alias,
            "other_than": self.other_than,
            "mlflow_conn_id": self.mlflow_conn_id,
            "poke_interval": self.poke_interval,
        }

    @property
    def watched(self) -> tuple[str, ...]:
        """The alias."""
        # Who waits for another change has another look: what an earlier one knows may be older than `other_than`.
        return ("alias", self.mlflow_conn_id, self.model, self.alias, str(self.other_than))

    async def look(self) -> str | None:
        """Return the version behind the alias."""
        hook = MlflowHook(self.mlflow_conn_id)
        if self._fields is None:
            self._fields = await hook.afields()
        return await asyncio.to_thread(hook.alias_version, self.model, self.alias, self._fields)

    def event(self, found: str | None) -> dict[str, Any] | None:
        """Return the event of another version."""
        if found is None or found == self.other_than:
            return None
        self.other_than = found
        return {"version": found}

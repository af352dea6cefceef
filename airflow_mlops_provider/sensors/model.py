"""Sensor on the version behind a model's alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.sensors.base import DeferringSensor
from airflow_mlops_provider.triggers.model import ModelVersionTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["ModelVersionSensor"]


class ModelVersionSensor(DeferringSensor):
    """Wait until a model's alias names a version; the XCom is that version.

    :param model: registered name (templated)
    :param alias: the alias (templated)
    :param other_than: a version that will not do; default: any will (templated)
    :param mlflow_conn_id: connection of the registry
    :param deferrable: wait in the triggerer
    """

    template_fields = ("model", "alias", "other_than")
    ui_color = "#f0f7e8"

    def __init__(
        self,
        *,
        model: str,
        alias: str = "champion",
        other_than: str | None = None,
        mlflow_conn_id: str = "mlflow_default",
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.alias = alias
        self.other_than = other_than
        self.mlflow_conn_id = mlflow_conn_id
        self.deferrable = deferrable

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's own form
        """Ask the registry."""
        found = MlflowHook(self.mlflow_conn_id).alias_version(self.model, self.alias)
        self.log.info("%s@%s is version %s", self.model, self.alias, found)
        return PokeReturnValue(found is not None and found != str(self.other_than), found)

    def change(self, context: Context) -> ModelVersionTrigger:  # noqa: ARG002 - as in the base class
        """Return the trigger on a version that will do."""
        return ModelVersionTrigger(
            model=self.model,
            alias=self.alias,
            other_than=self.other_than,
            mlflow_conn_id=self.mlflow_conn_id,
            poke_interval=self.poke_interval,
        )

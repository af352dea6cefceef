"""The sensor on a lake that every other one is: it looks at a state, and may defer until a table changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.triggers.dataset import DatasetVersionTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops_provider.steps.lake import Lake

__all__ = ["DeferringSensor", "LakeSensor"]


class DeferringSensor(BaseSensorOperator):
    """A sensor that, if `deferrable`, looks once, then waits in the triggerer for a change before it looks again."""

    deferrable: bool

    def execute(self, context: Context) -> Any:
        """Look; where it is not time yet, look again after `poke_interval` or after a change."""
        if not self.deferrable:
            return super().execute(context)
        return self._look(context, datetime.now(UTC))

    def execute_complete(self, context: Context, event: dict[str, Any], started: str) -> Any:
        """Look again, now that something changed."""
        self.log.info("changed: %s", event)
        return self._look(context, datetime.fromisoformat(started))

    def change(self, context: Context) -> Any:
        """Return the trigger that fires at the next change; built before the look, or a change may be missed."""
        raise NotImplementedError

    def _look(self, context: Context, started: datetime) -> Any:
        trigger = self.change(context)
        found = self.poke(context)
        if found:
            return found.xcom_value if isinstance(found, PokeReturnValue) else None
        left = timedelta(seconds=self.timeout) - (datetime.now(UTC) - started)
        if left <= timedelta(0):
            raise AirflowSensorTimeout(f"not within {self.timeout} s")
        return self.defer(
            trigger=trigger, method_name="execute_complete", kwargs={"started": started.isoformat()}, timeout=left
        )


class LakeSensor(DeferringSensor):
    """A sensor on the state of one table of the lake.

    :param lake: root of the lake; default: the connection's, else `[mlops] lake` of airflow.cfg (templated)
    :param lake_conn_id: connection of the lake's store; may be absent for a folder
    :param deferrable: wait in the triggerer until the table has a new version
    """

    template_fields: Sequence[str] = ("lake",)
    ui_color = "#f0f7e8"

    def __init__(
        self, *, lake: str | None = None, lake_conn_id: str = "lake_default", deferrable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lake = lake
        self.lake_conn_id = lake_conn_id
        self.deferrable = deferrable

    @property
    def watched_table(self) -> str:
        """The table whose new version is worth another look."""
        raise NotImplementedError

    def open_lake(self) -> Lake:
        """Return the lake."""
        return LakeHook(self.lake_conn_id, self.lake).get_conn()

    def change(self, context: Context) -> Any:  # noqa: ARG002 - for sensors that need it
        """Return the trigger on the next version of the watched table."""
        hook = LakeHook(self.lake_conn_id, self.lake)
        return DatasetVersionTrigger(
            lake=hook.root(),
            table=self.watched_table,
            after=hook.version(self.watched_table),
            lake_conn_id=self.lake_conn_id,
            poke_interval=self.poke_interval,
        )

"""Sensor on drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.operators.monitor import DriftOperator
from airflow_mlops_provider.sensors.base import DeferringSensor
from airflow_mlops_provider.triggers.dataset import DatasetVersionTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DriftSensor"]

_TOLD = ("drifted", "named", "max_effect")


class DriftSensor(DriftOperator, DeferringSensor):
    """Wait until a table has drifted from a reference; the XCom is what `DriftOperator` would return.

    Every look computes the drift, so give a long `poke_interval`, or `deferrable`: then the next look comes
    with the table's next version.

    :param current: reference of the table that is watched: `{"name": "visits"}` (templated)
    :param reference: reference of what is normal (templated)
    :param threshold: fire where the largest effect reaches this; default: where a column of `page`
        (all, without it) is over the level of all of them together
    :param deferrable: wait in the triggerer until `current`, a table of the lake, has a new version
    """

    def __init__(
        self,
        *,
        current: Mapping[str, Any],
        reference: Mapping[str, Any],
        threshold: float | None = None,
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(current=current, reference=reference, **kwargs)
        self.threshold = threshold
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look until there is drift; see the class."""
        return DeferringSensor.execute(self, context)

    def poke(self, context: Context) -> PokeReturnValue:
        """Compute the drift once."""
        outcome = self.run_step(context)
        if outcome.status == "failed":
            self.fail(outcome)
        batches = (outcome.result or {})["batches"]
        for line in batches:
            self.log.info("drifted: %s; named: %s; largest effect: %s", *(line[k] for k in _TOLD))
        return PokeReturnValue(any(map(self._fires, batches)), outcome.result)

    def change(self, context: Context) -> DatasetVersionTrigger:  # noqa: ARG002 - as in the base class
        """Return the trigger on the table's next version."""
        hook = LakeHook(self.lake_conn_id, self.lake)
        table = str((self.current or {})["name"])
        return DatasetVersionTrigger(
            lake=hook.root(),
            table=table,
            after=hook.version(table),
            lake_conn_id=self.lake_conn_id,
            poke_interval=self.poke_interval,
        )

    def _fires(self, line: Mapping[str, Any]) -> bool:
        if self.threshold is None:
            return bool(line["named"])
        return line["max_effect"] is not None and line["max_effect"] >= self.threshold

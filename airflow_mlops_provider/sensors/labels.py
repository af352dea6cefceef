"""Sensor on the labels of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException

from airflow_mlops_provider.operators.batch import batch_of
from airflow_mlops_provider.sensors.base import LakeSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["LabelsSensor"]


class LabelsSensor(LakeSensor):
    """Wait until a batch of labels was accepted; the XCom is the reference of the table that holds it.

    :param labels: dataset of outcomes, by its name in the batch ledger (templated)
    :param batch: id, start, end and timezone; default: the data interval (templated)
    :param timezone: whose days make a batch; default: the DAG's
    """

    template_fields = (*LakeSensor.template_fields, "labels", "batch")

    def __init__(
        self, *, labels: str, batch: Mapping[str, Any] | None = None, timezone: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.labels = labels
        self.batch = batch
        self.timezone = timezone

    @property
    def watched_table(self) -> str:
        """The dataset's ledger."""
        return f"_ledgers/batches/{self.labels}"

    def poke(self, context: Context) -> PokeReturnValue:
        """Look into the ledger."""
        from airflow_mlops_provider.steps.batches import BatchLedger

        wanted = batch_of(self.batch, context, self.timezone or getattr(self.dag.timezone, "name", None) or "UTC")
        if wanted is None:
            raise AirflowFailException(f"{self.task_id}: no batch: this DAG run has no data interval; give batch=")
        rows = BatchLedger(self.open_lake(), self.labels).accepted()
        found = next((row for row in rows if row.batch.id == wanted["id"]), None)
        self.log.info("%s of batch %s: %s", self.labels, wanted["id"], "there" if found else "not there yet")
        version = found.version if found else None
        return PokeReturnValue(found is not None, {"kind": "delta", "name": self.labels, "version": version})

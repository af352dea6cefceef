"""Sensor on a table's version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.sensors.base import LakeSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["DatasetVersionSensor"]


class DatasetVersionSensor(LakeSensor):
    """Wait for a version of a lake's table; the XCom is its reference.

    :param dataset: table of the lake (templated)
    :param version: lowest version that will do; default: any (templated)
    """

    template_fields = (*LakeSensor.template_fields, "dataset", "version")

    def __init__(self, *, dataset: str, version: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.version = version

    @property
    def watched_table(self) -> str:
        """The table itself."""
        return self.dataset

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's own form
        """Look at the table's version."""
        found = self.open_lake().version(self.dataset)
        there = found is not None and found >= int(self.version or 0)
        self.log.info("%s has version %s", self.dataset, found)
        return PokeReturnValue(there, {"kind": "delta", "name": self.dataset, "version": found})

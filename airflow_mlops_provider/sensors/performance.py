"""Sensor on a champion's performance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.sensors.base import LakeSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["PerformanceSensor"]

_SEEN = ("batch", "version", "labelled", "metrics")


class PerformanceSensor(LakeSensor):
    """Wait until the newest measured batch crosses a bound; the XCom is that batch's performance.

    :param pipeline: whose monitoring table is read (templated)
    :param metric: name of the metric (templated)
    :param condition: as in `retrain.when`: `above`, `below` or `abs_above`, and `alpha` (templated)
    """

    template_fields = (*LakeSensor.template_fields, "pipeline", "metric", "condition")

    def __init__(self, *, pipeline: str, metric: str, condition: Mapping[str, float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.metric = metric
        self.condition = condition

    @property
    def watched_table(self) -> str:
        """The pipeline's monitoring table."""
        return f"_ledgers/monitoring/{self.pipeline}"

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002 - Airflow's own form
        """Look at the newest line of the monitoring table."""
        from airflow_mlops_provider.contracts.decide import Condition, Observation
        from airflow_mlops_provider.steps.conditions import crossings, figures, say
        from airflow_mlops_provider.steps.history import Monitoring

        lines = list(Monitoring(self.open_lake(), self.pipeline).lines("performance").values())
        record = lines[-1]["record"] if lines else {}
        if self.metric not in record.get("metrics", {}):
            self.log.info("%s: no batch has %s yet", self.pipeline, self.metric)
            return PokeReturnValue(False)
        of_version = [line for line in lines if line["version"] == lines[-1]["version"]]
        seen = [Observation(end=line["end"], **{key: line["record"][key] for key in _SEEN}) for line in of_version]
        when = {self.metric: Condition.model_validate(self.condition)}
        found = figures(seen, when)
        self.log.info("batch %s: %s", record["batch"], say(self.metric, found[self.metric], when[self.metric]))
        return PokeReturnValue(bool(crossings(found, when)), record)

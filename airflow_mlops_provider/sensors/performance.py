"""Sensor on a champion's performance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue

from airflow_mlops_provider.sensors.base import LakeSensor

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["PerformanceSensor"]


class PerformanceSensor(LakeSensor):
    """Wait until the newest measured batch crosses a bound; the XCom is that batch's performance.

    :param pipeline: whose monitoring table is read (templated)
    :param metric: name of the metric (templated)
    :param condition: `above`, `below` or `abs_above`: `{"abs_above": 0.04}` (templated)
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
        from airflow_mlops_provider.contracts.decide import Condition
        from airflow_mlops_provider.steps.history import Monitoring

        lines = list(Monitoring(self.open_lake(), self.pipeline).lines("performance").values())
        record = lines[-1]["record"] if lines else {}
        estimate = record.get("metrics", {}).get(self.metric)
        if estimate is None:
            self.log.info("%s: no batch has %s yet", self.pipeline, self.metric)
            return PokeReturnValue(False)
        value, bound = estimate["value"], Condition.model_validate(self.condition)
        self.log.info("batch %s: %s = %.4g", record["batch"], self.metric, value)
        return PokeReturnValue(_crossed(value, bound.above, bound.below, bound.abs_above), record)


def _crossed(value: float, above: float | None, below: float | None, abs_above: float | None) -> bool:
    return (
        (above is not None and value > above)
        or (below is not None and value < below)
        or (abs_above is not None and abs(value) > abs_above)
    )

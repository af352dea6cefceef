"""What a model lost on its own holdout, which its losses in service are measured against."""

from __future__ import annotations

import math

from airflow_mlops_provider.contracts.evaluate import EvaluateResult, MetricEstimate
from airflow_mlops_provider.steps.history import Monitoring

__all__ = ["References", "is_ratio", "ratio"]

_RATIO = "_ratio"


class References:
    """The holdout's metrics of each registered version, from the verdicts that training wrote down."""

    def __init__(self, monitoring: Monitoring) -> None:
        self.lines = {line["version"]: line["record"] for line in monitoring.history("training")}

    def of(self, version: str | None) -> dict[str, MetricEstimate]:
        """Return a version's metrics on rows that it was not fitted on; empty where it was never judged."""
        record = self.lines.get(version)
        return EvaluateResult.model_validate(record).metrics if record else {}


def is_ratio(metric: str) -> bool:
    """Whether a metric is a loss over the same loss on the holdout, as `log_loss_ratio`."""
    return metric.endswith(_RATIO)


def ratio(now: MetricEstimate, then: MetricEstimate) -> MetricEstimate:
    """Return now / then with its standard error by the delta method: the two are of different rows."""
    value = now.value / then.value
    errors = [(now.se or 0.0) / then.value, value * (then.se or 0.0) / then.value]
    se = None if now.se is None else math.hypot(*errors)
    return now.model_copy(update={"value": value, "se": se})

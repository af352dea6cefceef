"""Operator that brings a batch in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.operators.base import StepOperator

__all__ = ["IngestOperator"]


class IngestOperator(StepOperator):
    """Bring the datasets of one batch into the lake; the same batch twice changes nothing.

    :param datasets: a source a dataset: `{"flights": {"files": "in/{batch}.csv"}}`, or with `python_callable`,
        or with `sql` and `conn_id` (templated)
    :param batch: id, start, end and timezone; default: the data interval (templated)
    :param publish: false: only stage the batch, for `ValidateOperator` to publish
    """

    step = "ingest"
    spec_fields = ("datasets", "publish")
    batch_use = "required"

    def __init__(
        self,
        *,
        datasets: Mapping[str, Mapping[str, Any]],
        batch: Mapping[str, Any] | None = None,
        publish: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.datasets = datasets
        self.batch = batch
        self.publish = publish

"""Operator that scores a dataset with the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_mlops_provider.operators.base import StepOperator

__all__ = ["BatchScoreOperator"]


class BatchScoreOperator(StepOperator):
    """Score every accepted batch that is not scored yet, in order. Without a champion it says so and succeeds.

    :param model: registered name (templated)
    :param dataset: lake table of rows to score (templated)
    :param alias: used where the model has no ledger (templated)
    :param event_timestamp: column of the time at which features must be known (templated)
    :param unique_key: columns that name a row in the predictions (templated)
    :param feature_service: features that are joined, point in time (templated)
    :param probation: batches that the former champion scores in shadow after a promotion
    :param batch_rows: rows in memory at a time
    """

    step = "score"
    spec_fields = (
        "model",
        "dataset",
        "alias",
        "event_timestamp",
        "unique_key",
        "feature_service",
        "probation",
        "batch_rows",
    )
    uses_mlflow = True

    def __init__(
        self,
        *,
        model: str,
        dataset: str,
        alias: str | None = None,
        event_timestamp: str | None = None,
        unique_key: Sequence[str] | None = None,
        feature_service: str | None = None,
        probation: int | None = None,
        batch_rows: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.dataset = dataset
        self.alias = alias
        self.event_timestamp = event_timestamp
        self.unique_key = unique_key
        self.feature_service = feature_service
        self.probation = probation
        self.batch_rows = batch_rows

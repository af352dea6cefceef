"""Operator that writes features to Feast's online store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mlops_provider.operators.base import StepOperator

__all__ = ["FeastMaterializeOperator"]


class FeastMaterializeOperator(StepOperator):
    """Materialize feature views up to the batch's end; an interval that is online already writes nothing.

    :param feature_repo: folder of feature_store.yaml, relative to the bundle (templated)
    :param feature_views: default: all of the repository (templated)
    :param batch: id, start, end and timezone; default: the data interval (templated)
    """

    step = "materialize"
    spec_fields = ("feature_repo", "feature_views")
    batch_use = "required"

    def __init__(
        self,
        *,
        feature_repo: str,
        feature_views: Sequence[str] | None = None,
        batch: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.feature_repo = feature_repo
        self.feature_views = feature_views
        self.batch = batch

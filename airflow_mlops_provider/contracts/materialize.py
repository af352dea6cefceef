"""Contract of the step that writes features to Feast's online store."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field

from airflow_mlops_provider.contracts.base import Batch, Contract, StepSpec

__all__ = ["FeatureDefinitions", "FeatureService", "FeatureView", "MaterializeResult", "MaterializeSpec"]


class FeatureView(Contract):
    """One Feast feature view as the point-in-time join needs it: known without importing Feast.

    The newest row of `table` at or before the event, and not older than `ttl`, is the feature's value.
    """

    name: str
    table: str = Field(description="lake table that holds the rows")
    join_keys: tuple[str, ...]
    timestamp: str
    features: tuple[str, ...]
    ttl: timedelta | None = None


class FeatureService(Contract):
    """A named set of features: what a model is trained on and scored with."""

    name: str
    views: tuple[FeatureView, ...]


class FeatureDefinitions(Contract):
    """All that a Feast repository defines, exported to the lake; `digest` is that of its files."""

    project: str
    digest: str
    views: tuple[FeatureView, ...]
    services: tuple[FeatureService, ...]


class MaterializeSpec(StepSpec):
    """Materialize `feature_views` (default: all) up to the batch's end, from this package's own watermark."""

    feature_repo: str
    feature_views: tuple[str, ...] = ()
    batch: Batch


class MaterializeResult(Contract):
    """Rows written per view; an interval that was materialized already writes none."""

    batch: str
    rows: dict[str, int]
    watermark: datetime | None = None
    versions: dict[str, int] = {}

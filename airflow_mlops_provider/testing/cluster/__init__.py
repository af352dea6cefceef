"""A small Kubernetes API that runs containers as local processes, with faults: for the tests of who runs pods."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import MissingExtraError

try:
    from airflow_mlops_provider.testing.cluster.cluster import Cluster
except ModuleNotFoundError as exc:
    if exc.name != "aiohttp":
        raise
    raise MissingExtraError("aiohttp", "testing") from None
from airflow_mlops_provider.testing.cluster.faults import (
    Evict,
    Fault,
    ImagePull,
    NodeLost,
    Preempt,
    Unschedulable,
)
from airflow_mlops_provider.testing.cluster.image import Image
from airflow_mlops_provider.testing.cluster.server import Call
from airflow_mlops_provider.testing.cluster.status import ApiError

__all__ = [
    "ApiError",
    "Call",
    "Cluster",
    "Evict",
    "Fault",
    "Image",
    "ImagePull",
    "NodeLost",
    "Preempt",
    "Unschedulable",
]

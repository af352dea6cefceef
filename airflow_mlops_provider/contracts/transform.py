"""Contract of the step that runs dbt."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from airflow_mlops_provider.contracts.base import Batch, Contract, DatasetRef, StepSpec

__all__ = ["NodeResult", "TransformResult", "TransformSpec"]


class TransformSpec(StepSpec):
    """`dbt build` of `select`; sources read the lake at its accepted versions, `publish` goes back as versions."""

    project_dir: str
    select: str | None = None
    vars: dict[str, Any] = Field({}, description="any JSON: dbt's own --vars")
    publish: tuple[str, ...] = ()
    batch: Batch | None = None
    memory_limit: str = "1GB"
    threads: int = Field(2, ge=1)


class NodeResult(Contract):
    """One dbt node: a model, test, seed or snapshot."""

    name: str
    kind: str
    status: str
    seconds: float
    failures: int = 0
    message: str = ""


class TransformResult(Contract):
    """Every node's result and the lake versions of the published models."""

    batch: str | None
    nodes: tuple[NodeResult, ...]
    published: dict[str, DatasetRef]
    rows: dict[str, int] = {}

"""Contract of the lake's upkeep."""

from __future__ import annotations

from datetime import timedelta

from airflow_mlops_provider.contracts.base import Contract, StepSpec

__all__ = ["MaintainResult", "MaintainSpec"]


class MaintainSpec(StepSpec):
    """Compact and vacuum the pipeline's tables, at most once every `every` of wall time."""

    tables: tuple[str, ...] = ()
    every: timedelta = timedelta(days=7)
    keep: timedelta = timedelta(days=30)


class MaintainResult(Contract):
    """Tables that were worked on; empty where the last time is not long ago."""

    tables: tuple[str, ...] = ()
    files_removed: int = 0

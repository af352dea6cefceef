"""Operator of the lake's upkeep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_mlops_provider.operators.base import StepOperator

__all__ = ["LakeMaintainOperator"]


class LakeMaintainOperator(StepOperator):
    """Compact and vacuum the pipeline's tables, at most once every `every` of wall time.

    :param tables: tables besides the pipeline's ledgers (templated)
    :param every: how often there is work to do (templated)
    :param keep: how long former versions stay readable (templated)
    """

    step = "maintain"
    spec_fields = ("tables", "every", "keep")

    def __init__(
        self,
        *,
        tables: Sequence[str] | None = None,
        every: timedelta | str | None = None,
        keep: timedelta | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.tables = tables
        self.every = every
        self.keep = keep

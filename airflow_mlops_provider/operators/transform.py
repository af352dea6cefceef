"""Operator that runs dbt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mlops_provider.operators.base import StepOperator

__all__ = ["DbtBuildOperator"]


class DbtBuildOperator(StepOperator):
    """`dbt build`, in a child process; named models go back to the lake as versions.

    :param project_dir: folder of dbt_project.yml, relative to the bundle (templated)
    :param select: dbt's selection; default: all (templated)
    :param vars: dbt's own vars (templated)
    :param publish: models that are written to the lake (templated)
    :param batch: id, start, end and timezone; default: the data interval, if there is one (templated)
    :param memory_limit: of dbt's DuckDB (templated)
    :param threads: of dbt
    """

    step = "transform"
    spec_fields = ("project_dir", "select", "vars", "publish", "memory_limit", "threads")
    batch_use = "optional"

    def __init__(
        self,
        *,
        project_dir: str,
        select: str | None = None,
        vars: Mapping[str, Any] | None = None,  # noqa: A002 - dbt's own word
        publish: Sequence[str] | None = None,
        batch: Mapping[str, Any] | None = None,
        memory_limit: str | None = None,
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_dir = project_dir
        self.select = select
        self.vars = vars
        self.publish = publish
        self.batch = batch
        self.memory_limit = memory_limit
        self.threads = threads

"""Where and how a task runs, as the file says it."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.contracts.pod import Pod

__all__ = ["RunsOn", "TaskOptions", "Tries"]


class RunsOn(Contract):
    """Where a task's step runs: `local` (the worker's process), `{python: PATH}` or `{kubernetes: {...}}`."""

    python: str | None = Field(None, description="path of another interpreter, one of [mlops] allowed_interpreters")
    kubernetes: Pod | None = Field(None, description="a pod")

    @model_validator(mode="after")
    def _here(self) -> Self:
        if self.python and self.kubernetes is not None:
            raise ValueError("give one of python, kubernetes")
        return self


class Tries(Contract):
    """How a task is tried, whatever it is."""

    retries: int | None = Field(None, ge=0)
    retry_delay: timedelta | None = None
    execution_timeout: timedelta | None = None
    pool: str | None = None


class TaskOptions(Tries):
    """What each task of a section may say, and `defaults` for all of them."""

    runs_on: RunsOn | None = None

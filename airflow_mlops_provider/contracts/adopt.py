"""Contract of the step that takes a model which exists under this package's watch."""

from __future__ import annotations

from airflow_mlops_provider.contracts.base import Contract, DatasetRef, StepSpec
from airflow_mlops_provider.contracts.promote import Promotion

__all__ = ["AdoptResult", "AdoptSpec"]


class AdoptSpec(StepSpec):
    """Give a registered version a reference profile of `reference`, and its model a promotion ledger.

    `version` empty: the one that `alias` points to.
    """

    model: str
    reference: DatasetRef
    version: str | None = None
    alias: str = "champion"
    event_timestamp: str | None = None
    timezone: str = "UTC"


class AdoptResult(Contract):
    """The profile's columns and rows, and the ledger's line; `written` is false where it was adopted before."""

    version: str
    columns: tuple[str, ...]
    rows: int
    promotion: Promotion
    written: bool

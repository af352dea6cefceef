"""What a pod wrote to the lake before it ended, for when the pod itself cannot be asked any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.contracts.protocol import Outcome, decode
from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.runners.cuda import advised

__all__ = ["kept_outcome"]


def kept_outcome(lake: str, path: str, connection: Mapping[str, Any] | None = None) -> Outcome | None:
    """Return the outcome at `path` below the lake's root, or None where none is.

    Raises MissingExtraError where the tools of a lake are not installed here, TransientError where the store does
    not answer.
    """
    try:
        from airflow_mlops_provider.steps.lake import Lake
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "lake") from exc
    store = Lake(lake, dict(connection) if connection else None)
    content = store.get(f"{store.root}/{path}")
    found = decode(content.decode()) if content else None
    return advised(found) if isinstance(found, Outcome) else None

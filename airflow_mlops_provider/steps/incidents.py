"""Where an incident begins: people are told of it once, not with every batch that it lasts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.contracts.monitor import BatchDrift

__all__ = ["begun"]


def begun(result: BatchDrift, end: datetime, lines: Mapping[str, Json], decisions: Iterable[Decision]) -> BatchDrift:
    """Return the drift of a batch that ends at `end` with the columns whose incident begins there.

    `lines` are the drift lines of other batches; what the one before pages too goes on, one without rows says nothing.
    The newest decision before the batch says what the governor thought of the model until then: of this one it decides
    when outcomes are there.
    """
    earlier = [line for line in lines.values() if line["end"] < end and line["record"]["rows"]]
    before = max(earlier, key=lambda line: line["end"])["record"]["paged"] if earlier else ()
    last = max((made for made in decisions if made.at < end), key=lambda made: made.at, default=None)
    return result.model_copy(
        update={
            "began": tuple(column for column in result.paged if column not in before),
            "decision": last and f"{last.batch}: {last.decision}: {last.reason}",
        }
    )

"""The promotion ledger: who was champion when, one commit a promotion. MLflow's alias follows it."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["PromotionLedger"]

_SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("kind", pa.string()),
        ("version", pa.string()),
        ("former", pa.string()),
        ("batch", pa.string()),
        ("fitted_until", pa.timestamp("us", tz="UTC")),
        ("run_id", pa.string()),
        ("judged_run_id", pa.string()),
        ("reason", pa.string()),
        ("run_key", pa.string()),
        ("recorded_at", pa.timestamp("us", tz="UTC")),
    ]
)


class PromotionLedger:
    """Promotions of one model under one alias."""

    def __init__(self, lake: Lake, model: str, alias: str = "champion") -> None:
        self.lake = lake
        self.table = f"_ledgers/promotions/{model}@{alias}"
        self.app = "promotion"

    def history(self) -> list[Promotion]:
        """Return every promotion in order."""
        lines = self.lake.read(self.table).to_pylist()
        return sorted(
            (
                Promotion.model_validate(
                    {**line, **{k: _utc(line[k]) for k in ("recorded_at", "fitted_until") if line[k]}}
                )
                for line in lines
            ),
            key=lambda p: p.sequence,
        )

    def champion(self) -> Promotion | None:
        """Return the newest promotion, whose version serves."""
        history = self.history()
        return history[-1] if history else None

    def commit(self, promotion: Promotion) -> bool:
        """Make `promotion` the next in line; False if somebody else took its sequence.

        The sequence is the Delta transaction's number, so two writers of one sequence cannot both commit.
        """
        line = promotion.model_dump()
        return self.lake.write_once(
            self.table, pa.Table.from_pylist([line], schema=_SCHEMA), app=self.app, sequence=promotion.sequence
        )[1]


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC)

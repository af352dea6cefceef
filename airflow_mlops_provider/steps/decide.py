"""The governor's step: hand it the history, write its decision down."""

from __future__ import annotations

from datetime import UTC

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.decide import DecideResult, DecideSpec, Decision, Observation
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.steps import governor
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.promotions import PromotionLedger

__all__ = ["decide"]


def decide(spec: DecideSpec, context: StepContext) -> DecideResult:
    """Decide for each labelled batch that has no decision yet, in data time, and record each decision once.

    `training` is the newest decision that asks for a training, if that has not ended, also one that an earlier
    try recorded before it died: the training's run is found by its id, so to ask twice starts one.
    """
    lake = context.lake(spec)
    ledger = DecisionLedger(lake, spec.pipeline)
    monitoring = Monitoring(lake, spec.pipeline)
    champion = PromotionLedger(lake, spec.model, spec.alias).champion()
    decisions = ledger.decisions()
    decided = {d.batch for d in decisions}
    observations: list[Observation] = []
    made: list[Decision] = []
    drift, measured = monitoring.lines("drift"), monitoring.lines("performance")
    concluded = set(monitoring.lines("training"))
    for row in BatchLedger(lake, spec.labels).accepted():
        line = measured.get(row.batch.id)
        if champion is not None and line is None:
            continue
        observations.append(_observation(row, line, drift.get(row.batch.id), champion))
        if row.batch.id in decided:
            continue
        decision = governor.decide(
            observations,
            decisions,
            spec.retrain,
            pipeline=spec.pipeline,
            champion=champion.version if champion else None,
            running=_running(decisions, made, concluded),
        )
        if ledger.add(decision):
            context.say(f"{row.batch.id}: {decision.decision}: {decision.reason}")
        decisions.append(decision)
        made.append(decision)
    return DecideResult(decisions=tuple(made), training=_due(decisions, made, concluded))


def _observation(row: BatchRow, line: Json | None, drift: Json | None, champion: Promotion | None) -> Observation:
    """Return what the governor sees of a batch; a champion that was restored is judged by its shadow."""
    record = line["record"] if line else {}
    seen = drift["record"] if drift else {}
    restored = champion is not None and record.get("shadow_version") == champion.version
    return Observation(
        batch=row.batch.id,
        end=row.batch.end.astimezone(UTC),
        labelled=record.get("labelled", row.rows),
        version=record.get("shadow_version" if restored else "version"),
        metrics=record.get("shadow" if restored else "metrics", {}),
        drifted=tuple(seen.get("drifted", ())),
        max_effect=seen.get("max_effect"),
    )


def _due(decisions: list[Decision], made: list[Decision], concluded: set[str]) -> Decision | None:
    # Not only the newest decision: later batches of one call, or of a retry, may say wait or none.
    asked = [d for d in (made if _training(made) else decisions) if d.decision == "retrain"]
    newest = max(asked, key=lambda d: d.at, default=None)
    return newest if newest is not None and newest.batch not in concluded else None


def _running(decisions: list[Decision], made: list[Decision], concluded: set[str]) -> str | None:
    """Return the id of a training that was asked for in this call or by the decision before, and has not ended.

    One that has not ended by the decision after is taken for dead: it must not block for ever.
    """
    last = _training(made) or _training(decisions[-1:])
    return last.id if last and last.batch not in concluded else None


def _training(decisions: list[Decision]) -> Decision | None:
    return next((d for d in reversed(decisions) if d.decision == "retrain"), None)

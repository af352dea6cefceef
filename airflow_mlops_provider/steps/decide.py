"""The governor's step: hand it the history, write its decision down."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider.contracts.decide import DecideResult, DecideSpec, Decision, Observation
from airflow_mlops_provider.steps import governor
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.observations import ended_trainings, observation
from airflow_mlops_provider.steps.promotions import PromotionLedger

__all__ = ["decide"]


def decide(spec: DecideSpec, context: StepContext) -> DecideResult:
    """Decide for each labelled batch that has no decision yet, in data time, and record each decision once.

    `training` is the newest decision that asks for a training, if that has not ended, also one that an earlier
    try recorded before it died: the training's run is found by its id, so to ask twice starts one. What that try
    decided is returned again, for it may have told nobody.
    """
    # Before all is read: what comes in meanwhile was not known.
    now = datetime.now(UTC)
    lake = context.lake(spec)
    ledger = DecisionLedger(lake, spec.pipeline)
    monitoring = Monitoring(lake, spec.pipeline)
    promoted = PromotionLedger(lake, spec.model, spec.alias).champion()
    champion = promoted.version if promoted else None
    decisions = ledger.decisions()
    before = tuple(d for d in decisions if d.run_key == context.run_key)
    decided = {d.batch for d in decisions}
    observations: list[Observation] = []
    made: list[Decision] = []
    drift, measured = monitoring.lines("drift"), monitoring.lines("performance")
    trained = monitoring.lines("training")
    concluded = set(trained)
    rows = BatchLedger(lake, spec.labels).accepted()
    ended = ended_trainings(trained.values(), {row.batch.id: row.batch.end for row in rows})
    for row in rows:
        line = measured.get(row.batch.id)
        if champion is not None and line is None:
            continue
        observations.append(observation(row, line, drift.get(row.batch.id), champion))
        if row.batch.id in decided:
            continue
        decision = governor.decide(
            observations,
            decisions,
            spec.retrain,
            pipeline=spec.pipeline,
            champion=champion,
            running=_running(decisions, made, concluded),
            ended=ended,
        ).model_copy(update={"recorded_at": now, "run_key": context.run_key})
        if ledger.add(decision):
            context.say(f"{row.batch.id}: {decision.decision}: {decision.reason}")
            if decision.alert:
                context.say(f"{row.batch.id}: {decision.alert}")
        decisions.append(decision)
        made.append(decision)
    return DecideResult(decisions=(*before, *made), training=_due(decisions, made, concluded))


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

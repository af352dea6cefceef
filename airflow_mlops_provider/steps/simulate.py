"""Replay retraining policies over what a pipeline's ledgers hold: what each would have decided, and what it kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.decide import Decision
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.contracts.simulate import (
    KeptMetric,
    Replay,
    ReplayedDecision,
    SimulatedBatch,
    SimulateResult,
    SimulateSpec,
)
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import DecisionLedger, Kind, Monitoring
from airflow_mlops_provider.steps.observations import ended_trainings
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.replay import Moment, Trained, newest, replay

__all__ = ["simulate"]


def simulate(spec: SimulateSpec, context: StepContext) -> SimulateResult:
    """Replay each policy over every batch that was decided on or measured. Reads ledgers, writes nothing.

    Nothing is estimated: a training that history did not make has no model, so nothing is said of what it would have
    served. Raises DataError where no batch of `labels` was decided on or measured.
    """
    history = _History(spec, context)
    if not history.moments:
        raise DataError(f"pipeline {spec.pipeline}: no batch of {spec.labels} was decided on or measured yet")
    played = {
        name: replay(
            history.moments, policy, pipeline=spec.pipeline, trained=history.trained, promotions=history.promotions
        )
        for name, policy in spec.policies.items()
    }
    columns = list(zip(*played.values(), strict=True))
    batches = tuple(history.batch(moment, replays) for moment, replays in zip(history.moments, columns, strict=True))
    made = [b.recorded for b in batches if b.recorded and b.recorded.decision == "retrain"]
    return SimulateResult(
        batches=batches,
        trainings=len(made),
        promoted=sum(history.promoted(decision) for decision in made),
        refused=sum(history.refused(decision) for decision in made),
        served=_kept([(b.metrics, b.metrics) for b in batches]),
        replays=tuple(_totals(name, spec, history, batches, replayed) for name, replayed in played.items()),
    )


class _History:
    """What the ledgers hold of a pipeline, by batch, in the order in which it was decided on."""

    def __init__(self, spec: SimulateSpec, context: StepContext) -> None:
        lake = context.lake(spec)
        monitoring = Monitoring(lake, spec.pipeline)
        rows = BatchLedger(lake, spec.labels).accepted()
        decisions = DecisionLedger(lake, spec.pipeline).decisions()
        self.promotions: list[Promotion] = PromotionLedger(lake, spec.model, spec.alias).history()
        self.ids = {decision.id for decision in decisions if decision.decision == "retrain"}
        self.trained = self._trained(monitoring, rows)
        recorded = {decision.batch: decision for decision in decisions}
        lines, drifts = _by_batch(monitoring, "performance"), _by_batch(monitoring, "drift")
        found = [
            _moment(row, recorded.get(row.batch.id), tuple(lines[row.batch.id]), tuple(drifts[row.batch.id]))
            for row in rows
            if row.batch.id in recorded or lines[row.batch.id]
        ]
        self.moments = sorted(found, key=lambda moment: (moment.known_at, moment.row.batch.end))

    def _trained(self, monitoring: Monitoring, rows: Sequence[BatchRow]) -> list[Trained]:
        ends = {row.batch.id: row.batch.end for row in rows}
        found = []
        for line in monitoring.history("training"):
            starter = next((one for one in self.ids if line["run_key"].endswith(f"/{one}")), None)
            found += [Trained(ended, starter, line["recorded_at"]) for ended in ended_trainings([line], ends)]
        return found

    def batch(self, moment: Moment, replays: Sequence[ReplayedDecision]) -> SimulatedBatch:
        """Return a batch as it was, beside what the policies say."""
        line = newest(moment.lines)
        record = line["record"] if line else {}
        return SimulatedBatch(
            batch=moment.row.batch.id,
            at=moment.row.batch.end,
            version=moment.served,
            metrics=record.get("metrics", {}),
            shadow_version=record.get("shadow_version"),
            shadow=record.get("shadow", {}),
            recorded=moment.recorded,
            happened=", ".join(self._happened(moment)),
            replays=tuple(replays),
        )

    def promoted(self, decision: Decision) -> bool:
        """Whether the challenger of a decision became champion."""
        promoted = {promotion.version for promotion in self.promotions if promotion.kind == "promote"}
        return any(trained.ended.version in promoted for trained in self._of(decision))

    def refused(self, decision: Decision) -> bool:
        """Whether the challenger of a decision was refused by its gates."""
        return any(trained.ended.verdict == "refused" for trained in self._of(decision))

    def _of(self, decision: Decision) -> list[Trained]:
        return [trained for trained in self.trained if trained.decision == decision.id]

    def _happened(self, moment: Moment) -> Iterable[str]:
        served, champion = moment.served, moment.champion
        if any((p.kind, p.former, p.version) == ("rollback", served, champion) for p in self.promotions):
            yield f"{served} rolled back to {champion}"
        promoted = {promotion.version for promotion in self.promotions if promotion.kind == "promote"}
        for trained in self.trained:
            if trained.ended.until == moment.row.batch.id:
                word = "promoted" if trained.ended.version in promoted else trained.ended.verdict
                yield f"{trained.ended.version} {word}"
        recorded = moment.recorded
        if recorded is not None and recorded.decision == "retrain" and not self._of(recorded):
            yield "no training ended"


def _moment(row: BatchRow, recorded: Decision | None, lines: tuple[Json, ...], drifts: tuple[Json, ...]) -> Moment:
    # A ledger of an earlier release does not say when it decided: drift and performance are the last things before it.
    first = [found[0]["recorded_at"] for found in (lines, drifts) if found] or [row.recorded_at]
    known_at = recorded.recorded_at if recorded and recorded.recorded_at else max(first)
    measured = lines[0]["record"]["version"] if lines else None
    return Moment(row, known_at, recorded.champion if recorded else measured, recorded, lines, drifts)


def _by_batch(monitoring: Monitoring, kind: Kind) -> defaultdict[str, list[Json]]:
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for line in monitoring.history(kind):
        found[line["batch"]].append(line)
    return found


def _totals(
    name: str,
    spec: SimulateSpec,
    history: _History,
    batches: Sequence[SimulatedBatch],
    replayed: Sequence[ReplayedDecision],
) -> Replay:
    both = list(zip(batches, replayed, strict=True))
    trainings = [replay.training for replay in replayed if replay.training]
    judged = [batch.recorded for batch, replay in both if batch.recorded and replay.training == "same"]
    decided = [(batch.recorded, replay) for batch, replay in both if batch.recorded]
    same = [(was, said) for was, said in decided if was.decision == said.decision]
    return Replay(
        name=name,
        policy=spec.policies[name],
        trainings=len(trainings),
        made=len(trainings) - trainings.count("never"),
        promoted=sum(history.promoted(decision) for decision in judged),
        refused=sum(history.refused(decision) for decision in judged),
        decided=len(decided),
        same=len(same),
        exact=sum(was.reason == said.reason for was, said in same),
        kept=_kept([(batch.metrics, replay.metrics) for batch, replay in both]),
    )


def _kept(pairs: Sequence[tuple[dict[str, MetricEstimate], dict[str, MetricEstimate]]]) -> dict[str, KeptMetric]:
    """Return the means of each metric by pairs of what served and what a policy kept."""
    names = dict.fromkeys(name for served, _ in pairs for name in served)
    return {name: _mean(name, pairs) for name in names}


def _mean(name: str, pairs: Sequence[tuple[dict[str, MetricEstimate], dict[str, MetricEstimate]]]) -> KeptMetric:
    # As far as it was measured: gaps of either sign must not cancel out.
    size = abs if name == "calibration_gap" else float
    both = [
        (size(served[name].value), size(kept[name].value)) for served, kept in pairs if name in served and name in kept
    ]
    return KeptMetric(
        value=fmean(kept for _, kept in both) if both else None,
        served=fmean(served for served, _ in both) if both else None,
        batches=len(both),
        unknown=sum(name in served for served, _ in pairs) - len(both),
    )

"""Replay a policy over history: the governor's decisions, and which champion it would have had as far as is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.decide import Decision, EndedTraining, Observation, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.contracts.simulate import ReplayedDecision
from airflow_mlops_provider.steps import governor
from airflow_mlops_provider.steps.batches import BatchRow
from airflow_mlops_provider.steps.observations import observation

__all__ = ["Moment", "Trained", "newest", "replay"]


@dataclass(frozen=True)
class Trained:
    """A training that has ended; `decision` is the id of the decision that started it, None: a person did."""

    ended: EndedTraining
    decision: str | None
    recorded_at: datetime


@dataclass(frozen=True)
class Moment:
    """A batch that was decided on, or could have been, at the wall clock's `known_at`.

    `lines` and `drifts` are its lines of the monitoring table, each revision; `champion` the one at that moment.
    """

    row: BatchRow
    known_at: datetime
    champion: str | None
    recorded: Decision | None = None
    lines: tuple[Json, ...] = ()
    drifts: tuple[Json, ...] = ()

    @property
    def served(self) -> str | None:
        """The version that scored the batch, by its first line; without one the champion."""
        return self.lines[0]["record"]["version"] if self.lines else self.champion


def newest(lines: Sequence[Json], known_at: datetime | None = None) -> Json | None:
    """Return the newest of a batch's lines, of those that were there at `known_at`."""
    found = [line for line in lines if known_at is None or line["recorded_at"] <= known_at]
    return found[-1] if found else None


def replay(
    moments: Sequence[Moment],
    policy: RetrainPolicy,
    *,
    pipeline: str,
    trained: Sequence[Trained] = (),
    promotions: Sequence[Promotion] = (),
) -> list[ReplayedDecision]:
    """Return what `policy` says at each moment, in their order, knowing only what was known then.

    It remembers its own trainings, and of history's verdicts those of trainings that it made too, against the same
    champion. A training that only it made is taken to have ended by the next batch, with a verdict that nobody knows.
    """
    player = _Player(policy, pipeline, trained, promotions)
    return [player.play(moment) for moment in moments]


@dataclass
class _Champion:
    """Who is champion under a policy: history's own, an older `version` that it kept (None: none), or nobody knows."""

    state: Literal["history", "kept", "unknown"] = "history"
    version: str | None = None

    def moved(self, before: str | None, promotion: Promotion | None, *, made: bool) -> None:
        """Follow a change of history's champion; `made`: by a training that the policy made too, or a person."""
        if promotion is not None and (promotion.kind == "outside" or self._returned(promotion)):
            self.state = "history"
        elif self.state == "history" and not made:
            self.state, self.version = "kept", before

    def _returned(self, promotion: Promotion) -> bool:
        return self.state == "kept" and self.version == promotion.version

    def figures(self, line: Json | None) -> dict[str, MetricEstimate]:
        """Return what was measured of this champion on a batch, as it served or in shadow."""
        record = line["record"] if line else {}
        if self.state == "unknown" or (self.state == "kept" and self.version is None):
            return {}
        version = record.get("version") if self.state == "history" else self.version
        found = {record.get("shadow_version"): record.get("shadow"), record.get("version"): record.get("metrics")}
        return {name: MetricEstimate.model_validate(value) for name, value in (found.get(version) or {}).items()}


@dataclass
class _Player:
    policy: RetrainPolicy
    pipeline: str
    trained: Sequence[Trained]
    promotions: Sequence[Promotion]
    champion: _Champion = field(default_factory=_Champion)
    made: list[Decision] = field(default_factory=list)
    past: list[Moment] = field(default_factory=list)
    # Ids of trainings that history and the policy both made, and those of them with the same champion to beat.
    both: set[str] = field(default_factory=set)
    alike: set[str] = field(default_factory=set)
    before: str | None = None
    known: dict[tuple[str, int, bool], Observation] = field(default_factory=dict)

    def play(self, moment: Moment) -> ReplayedDecision:
        line = newest(moment.lines)
        # History's first champion is every policy's.
        self._follow(self.before if self.past else moment.served, moment.served)
        self.past.append(moment)
        metrics = self.champion.figures(line)
        self._follow(moment.served, moment.champion)
        self.before = moment.champion
        champion, own = self._judged(moment)
        decision = governor.decide(
            self._observations(moment, champion),
            self.made,
            self.policy,
            pipeline=self.pipeline,
            champion=champion,
            running=self._running(moment),
            ended=self._ended(moment),
        )
        self.made.append(decision)
        return ReplayedDecision(
            decision=decision.decision,
            reason=decision.reason,
            alert=decision.alert,
            judged=champion,
            own=own,
            training=self._trains(moment, decision) if decision.decision == "retrain" else None,
            metrics=metrics,
        )

    def _follow(self, before: str | None, after: str | None) -> None:
        if before == after:
            return
        found = [p for p in self.promotions if (p.former, p.version) == (before, after)]
        promotion = found[-1] if found else None
        starter = next((t.decision for t in self.trained if t.ended.version == after), None)
        self.champion.moved(before, promotion, made=starter is None or starter in self.both)

    def _judged(self, moment: Moment) -> tuple[str | None, bool]:
        """Return whose figures the policy judges, and whether that is its own champion."""
        mine = self.champion
        if mine.state == "history":
            return moment.champion, True
        measured = mine.version is None or mine.figures(newest(moment.lines, moment.known_at))
        return (mine.version, True) if mine.state == "kept" and measured else (moment.champion, False)

    def _observations(self, moment: Moment, champion: str | None) -> list[Observation]:
        """Return the batches up to this one as the governor saw them then."""
        end = (moment.row.batch.end, moment.row.batch.id)
        upto = [seen for seen in self.past if (seen.row.batch.end, seen.row.batch.id) <= end]
        return [self._observed(seen, moment.known_at, champion) for seen in upto]

    def _observed(self, seen: Moment, known_at: datetime, champion: str | None) -> Observation:
        line, drift = newest(seen.lines, known_at), newest(seen.drifts, known_at)
        shadow = line is not None and champion is not None and line["record"].get("shadow_version") == champion
        revision = sum(other["recorded_at"] <= known_at for other in (*seen.lines, *seen.drifts))
        key = (seen.row.batch.id, revision, shadow)
        if key not in self.known:
            self.known[key] = observation(seen.row, line, drift, champion)
        return self.known[key]

    def _running(self, moment: Moment) -> str | None:
        running = moment.recorded.running if moment.recorded else None
        return running if running in self.both else None

    def _ended(self, moment: Moment) -> list[EndedTraining]:
        """Return the verdicts that were known, the last one of each batch."""
        there = [t for t in self.trained if t.recorded_at <= moment.known_at]
        mine = {t.ended.until: t.ended for t in there if t.decision is None or t.decision in self.alike}
        return list(mine.values())

    def _trains(self, moment: Moment, decision: Decision) -> Literal["same", "other", "never"]:
        too = moment.recorded is not None and moment.recorded.decision == "retrain"
        same = too and self.champion.state == "history"
        if too:
            self.both.add(decision.id)
        if same:
            self.alike.add(decision.id)
        else:
            self.champion.state = "unknown"
        return "same" if same else "other" if too else "never"

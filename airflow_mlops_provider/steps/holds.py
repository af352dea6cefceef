"""What speaks against a training that was asked for: the holds of a policy, in data time alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow_mlops_provider.contracts.decide import (
    WEEKDAYS,
    Budget,
    Decision,
    EndedTraining,
    Observation,
    Quiet,
    RetrainPolicy,
)

__all__ = ["held"]


def held(
    seen: Observation,
    decided: Sequence[Decision],
    ended: Sequence[EndedTraining],
    policy: RetrainPolicy,
    running: str | None,
) -> str:
    """Say what speaks against a training on the batches up to `seen`, with its numbers; empty if nothing does.

    `decided` are the decisions on other batches; those to train count for cool-down and budget, whatever became
    of their challengers. `ended` are the trainings whose verdict is known: one that was refused on batches up to
    `seen` or later is not made again. `running` is a training that has not ended. In whatever order they come.
    """
    trainings = [made for made in decided if made.decision == "retrain"]
    return (
        (f"training {running} has not ended" if running is not None else "")
        or _refused(seen.end, ended)
        or _quiet(seen, policy.quiet)
        or _cooling(seen.end, trainings, policy.cooldown)
        or _spent(seen.end, trainings, policy.budget)
    )


def _refused(now: datetime, ended: Sequence[EndedTraining]) -> str:
    same = [made for made in ended if made.verdict == "refused" and made.end >= now]
    last = max(same, key=lambda made: (made.end, made.until, made.version), default=None)
    if last is None:
        return ""
    return (
        f"version {last.version} was trained on batches up to {last.until} and refused ({last.reason}), "
        "and no newer batch has labels"
    )


def _quiet(seen: Observation, quiet: Quiet | None) -> str:
    if quiet is None:
        return ""
    day = seen.end.astimezone(ZoneInfo(seen.timezone)).date()
    span = next((days for days in quiet.dates if days.first <= day <= days.last), None)
    if span is not None:
        return f"{day} is quiet: {span.first} to {span.last}"
    weekday = WEEKDAYS[day.weekday()]
    return f"{day} is quiet: a {weekday}" if weekday in quiet.weekdays else ""


def _cooling(now: datetime, trainings: Sequence[Decision], cooldown: timedelta) -> str:
    nearest = min(trainings, key=lambda made: (abs(now - made.at), made.at), default=None)
    if nearest is None or abs(now - nearest.at) >= cooldown:
        return ""
    return f"{_span(abs(now - nearest.at))} from training {nearest.id}, cool-down is {_span(cooldown)}"


def _spent(now: datetime, trainings: Sequence[Decision], budget: Budget | None) -> str:
    if budget is None:
        return ""
    spent = _most(now, [made.at for made in trainings], budget.per)
    if spent < budget.trainings:
        return ""
    return f"budget is spent: {spent} of {budget.trainings} trainings in {_span(budget.per)}"


def _most(now: datetime, trainings: Sequence[datetime], per: timedelta) -> int:
    """The most trainings in a window [start, start + per) that holds `now`."""
    starts = [now, *(at for at in trainings if now - per < at < now)]
    return max(sum(start <= at < start + per for at in trainings) for start in starts)


def _span(time: timedelta) -> str:
    return f"{time / timedelta(days=1):g} days"

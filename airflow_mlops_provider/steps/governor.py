"""The governor: whether to train again, as a pure function of history and policy, in data time alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from airflow_mlops_provider.contracts.decide import Condition, Decision, Observation, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.exceptions import ConfigError, DataError

__all__ = ["decide"]

_Verdict: TypeAlias = Literal["none", "wait", "retrain"]


def decide(
    observations: Sequence[Observation],
    decisions: Sequence[Decision],
    policy: RetrainPolicy,
    *,
    pipeline: str,
    champion: str | None,
    running: str | None = None,
) -> Decision:
    """Return the decision for the newest of `observations` (in data time), given the other decisions.

    Without a champion: `retrain` once `first_after` batches have labels, else `wait`. With one: only a batch
    that it scored itself, and that has labels, can ask; nothing of `policy.when` crossed is `none`. What is
    asked for waits while the training `running` has not ended, less than `cooldown` from another training
    decision, or where a window of `budget.per` that ends now (or, for a batch that came late, begins now) has
    its trainings already. A training counts by its decision, whatever became of its challenger. Conditions
    name a metric, `drifted_columns` or `max_effect`: drift alone retrains only where one says so.

    The id is `{pipeline}__{batch}` in characters that Airflow allows in a run id: the same history gives the
    same decision. Every reason has its numbers. Raises DataError without an observation, ConfigError if a
    condition names a figure that the batch does not have.
    """
    if not observations:
        raise DataError("no observation to decide on: monitor a batch first")
    newest = max(observations, key=lambda seen: (seen.end, seen.batch))
    asked, reason = _first(observations, policy) if champion is None else _asked(newest, policy, champion)
    trainings = [made for made in decisions if made.decision == "retrain" and made.batch != newest.batch]
    held = _held(newest.end, trainings, policy, running) if asked == "retrain" else ""
    return Decision(
        id=_run_id(pipeline, newest.batch),
        batch=newest.batch,
        at=newest.end,
        decision="wait" if held else asked,
        reason=f"{held}; asked for by {reason}" if held else reason,
        champion=champion,
    )


def _first(observations: Sequence[Observation], policy: RetrainPolicy) -> tuple[_Verdict, str]:
    labelled = len({seen.batch for seen in observations if seen.labelled})
    reason = f"no champion, {labelled} of {policy.first_after} labelled batches for the first training"
    return ("retrain" if labelled >= policy.first_after else "wait"), reason


def _asked(seen: Observation, policy: RetrainPolicy, champion: str) -> tuple[_Verdict, str]:
    if seen.version != champion:
        return "none", f"scored by {_version(seen.version)}, and the champion is version {champion}: not its figures"
    if not seen.labelled:
        return "none", "no row of this batch has a label"
    figures = _figures(seen)
    unknown = sorted(policy.when.keys() - figures.keys())
    if unknown == ["roc_auc"]:
        return "none", "roc_auc is not defined on this batch: its outcomes are all alike"
    if unknown:
        raise ConfigError(
            f"retrain.when: {', '.join(unknown)} is not measured on batch {seen.batch}; there are {', '.join(figures)}"
        )
    crossed = {name: bounds for name, bounds in policy.when.items() if _crossed(figures[name].value, bounds)}
    said = "; ".join(_say(name, figures[name], bounds) for name, bounds in (crossed or policy.when).items())
    drifted = f"{len(seen.drifted)} columns drifted"
    if crossed:
        return "retrain", f"{said}; {drifted}"
    alone = "" if {"drifted_columns", "max_effect"} & policy.when.keys() or not seen.drifted else ", no reason alone"
    return "none", f"{said or 'no condition is set'}; {drifted}{alone}"


def _held(now: datetime, trainings: Sequence[Decision], policy: RetrainPolicy, running: str | None) -> str:
    """Say what speaks against a training now, or nothing."""
    if running is not None:
        return f"training {running} has not ended"
    nearest = min(trainings, key=lambda made: (abs(now - made.at), made.at), default=None)
    if nearest is not None and abs(now - nearest.at) < policy.cooldown:
        return f"{_span(abs(now - nearest.at))} from training {nearest.id}, cool-down is {_span(policy.cooldown)}"
    if policy.budget is not None:
        spent = _most(now, [made.at for made in trainings], policy.budget.per)
        if spent >= policy.budget.trainings:
            return f"budget is spent: {spent} of {policy.budget.trainings} trainings in {_span(policy.budget.per)}"
    return ""


def _most(now: datetime, trainings: Sequence[datetime], per: timedelta) -> int:
    """The most trainings in a window [start, start + per) that holds `now`."""
    starts = [now, *(at for at in trainings if now - per < at < now)]
    return max(sum(start <= at < start + per for at in trainings) for start in starts)


def _figures(seen: Observation) -> dict[str, MetricEstimate]:
    found = dict(seen.metrics)
    found["drifted_columns"] = MetricEstimate(value=len(seen.drifted), rows=seen.labelled)
    if seen.max_effect is not None:
        found["max_effect"] = MetricEstimate(value=seen.max_effect, rows=seen.labelled)
    return found


def _crossed(value: float, bounds: Condition) -> bool:
    return (
        (bounds.above is not None and value > bounds.above)
        or (bounds.below is not None and value < bounds.below)
        or (bounds.abs_above is not None and abs(value) > bounds.abs_above)
    )


def _say(name: str, figure: MetricEstimate, bounds: Condition) -> str:
    kept = {
        "at most": bounds.above,
        "at least": bounds.below,
        "at most +-": bounds.abs_above,
    }
    allowed = " and ".join(f"{word} {bound:g}" for word, bound in kept.items() if bound is not None)
    error = "" if figure.se is None else f" (se {figure.se:.4f})"
    value = f"{figure.value:g}" if name == "drifted_columns" else f"{figure.value:+.4f}"
    return f"{name} {value}{error}, allowed {allowed or 'anything'}"


def _run_id(pipeline: str, batch: str) -> str:
    plain = f"{pipeline}__{batch}"
    safe = re.sub(r"[^A-Za-z0-9_.~:+-]", "-", plain)[:200]
    # Two batches must not share a run id: the second training would be taken for started.
    return plain if safe == plain else f"{safe}-{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def _version(version: str | None) -> str:
    return "no champion" if version is None else f"version {version}"


def _span(time: timedelta) -> str:
    return f"{time / timedelta(days=1):g} days"

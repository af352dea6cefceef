"""The governor: whether to train again, as a pure function of history and policy, in data time alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from airflow_mlops_provider.contracts.decide import (
    DRIFT,
    Decision,
    EndedTraining,
    Observation,
    RetrainPolicy,
)
from airflow_mlops_provider.contracts.monitor import PredictionEffect
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.conditions import crossings, figures, say
from airflow_mlops_provider.steps.holds import held

__all__ = ["decide"]

_Verdict: TypeAlias = Literal["none", "wait", "retrain"]
# Columns that an alert names: more is a page of its own.
_NAMED = 5


def decide(
    observations: Sequence[Observation],
    decisions: Sequence[Decision],
    policy: RetrainPolicy,
    *,
    pipeline: str,
    champion: str | None,
    running: str | None = None,
    ended: Sequence[EndedTraining] = (),
) -> Decision:
    """Return the decision for the newest of `observations` (in data time), given the other decisions.

    Without a champion: `retrain` once `first_after` batches have labels, else `wait`. With one: only a batch
    that it scored itself, and that has labels, can ask; nothing of `policy.when` crossed is `none`. What is
    asked for waits until `debounce.times` of the last `debounce.of` batches that could ask have asked, while the
    training `running` has not ended, where one of `ended` was refused on the same batches, on a quiet day, less
    than `cooldown` from another training decision, or where a window of `budget.per` that ends now (or, for a batch
    that came late, begins now) has its trainings already. A training counts by its decision, whatever became of its
    challenger. Conditions name a metric or one of `DRIFT`: drift alone retrains only where one
    says so.

    `alert` is set once for every `alert_after` challengers of `ended` that were refused in a row, up to this batch.

    The id is `{pipeline}__{batch}` in characters that Airflow allows in a run id: the same history gives the
    same decision, in whatever order it comes. Every reason has its numbers. Raises DataError without an
    observation, ConfigError if a condition names a figure that the batch does not have.
    """
    if not observations:
        raise DataError("no observation to decide on: monitor a batch first")
    newest = max(observations, key=_when)
    asked, reason = _first(observations, policy) if champion is None else _asked(observations, policy, champion)
    others = [made for made in decisions if made.batch != newest.batch]
    waits = ""
    if asked == "retrain":
        few = "" if champion is None else _few(observations, policy, champion)
        waits = few or held(newest, others, ended, policy, running)
    return Decision(
        id=_run_id(pipeline, newest.batch),
        batch=newest.batch,
        at=newest.end,
        decision="wait" if waits else asked,
        reason=f"{waits}; asked for by {reason}" if waits else reason,
        champion=champion,
        running=running,
        alert=_alert(newest, others, ended, policy.alert_after),
    )


def _when(seen: Observation) -> tuple[datetime, str]:
    return seen.end, seen.batch


def _first(observations: Sequence[Observation], policy: RetrainPolicy) -> tuple[_Verdict, str]:
    labelled = len({seen.batch for seen in observations if seen.labelled})
    reason = f"no champion, {labelled} of {policy.first_after} labelled batches for the first training"
    return ("retrain" if labelled >= policy.first_after else "wait"), reason


def _asked(observations: Sequence[Observation], policy: RetrainPolicy, champion: str) -> tuple[_Verdict, str]:
    seen = max(observations, key=_when)
    if seen.version != champion:
        return "none", f"scored by {_version(seen.version)}, and the champion is version {champion}: not its figures"
    if not seen.labelled:
        return "none", "no row of this batch has a label"
    found = figures(_judged(observations, champion), policy.when)
    missing = sorted(policy.when.keys() - found.keys())
    # Outcomes that are all alike have none of the first two; a champion that was never judged has no ratio.
    undefined = [name for name in missing if name in ("roc_auc", "calibration_slope") or name.endswith("_ratio")]
    if undefined and len(undefined) == len(policy.when):
        return "none", f"{', '.join(undefined)} is not defined on this batch"
    if unknown := [name for name in missing if name not in undefined]:
        raise ConfigError(
            f"retrain.when: {', '.join(unknown)} is not measured on batch {seen.batch}; there are {', '.join(found)}"
        )
    crossed = crossings(found, policy.when)
    shown = crossed or {name: bounds for name, bounds in policy.when.items() if name in found}
    said = "; ".join(say(name, found[name], bounds) for name, bounds in shown.items())
    said += f"; {', '.join(undefined)} not defined" if undefined else ""
    drifted = f"{len(seen.drifted)} columns drifted{_moved_most(seen)}"
    if crossed:
        return "retrain", f"{said}; {drifted}"
    alone = "" if {*DRIFT} & policy.when.keys() or not seen.drifted else ", no reason alone"
    return "none", f"{said or 'no condition is set'}; {drifted}{alone}"


def _few(observations: Sequence[Observation], policy: RetrainPolicy, champion: str) -> str:
    """Say that too few of the last batches have asked; a figure that an earlier one lacks did not ask."""
    rule = policy.debounce
    if rule is None:
        return ""
    judged = _judged(observations, champion)
    last = range(max(len(judged) - rule.of, 0), len(judged))
    asked = sum(bool(crossings(figures(judged[: i + 1], policy.when), policy.when)) for i in last)
    if asked >= rule.times:
        return ""
    return f"{asked} of the last {len(last)} judged batches asked, debounce wants {rule.times} of {rule.of}"


def _judged(observations: Sequence[Observation], champion: str) -> list[Observation]:
    """Return the batches that could ask, in data time."""
    return sorted((seen for seen in observations if seen.version == champion and seen.labelled), key=_when)


def _alert(
    newest: Observation, decided: Sequence[Decision], ended: Sequence[EndedTraining], after: int | None
) -> str | None:
    """Say that `after` more challengers were refused in a row than people have been told of."""
    row = _refused_in_a_row([made for made in ended if made.end <= newest.end])
    if after is None or not row:
        return None
    told = sum(bool(made.alert) for made in decided if made.at >= row[0].end)
    if len(row) // after <= told:
        return None
    versions = ", ".join(made.version for made in row)
    return (
        f"{len(row)} challengers in a row were refused: versions {versions}; the last: {row[-1].reason}; "
        f"{_attribution(newest)}"
    )


def _refused_in_a_row(ended: Sequence[EndedTraining]) -> list[EndedTraining]:
    """Return the refused trainings since the last accepted one, in data time."""
    row: list[EndedTraining] = []
    for made in sorted(ended, key=lambda made: (made.end, made.until, made.version)):
        row = [*row, made] if made.verdict == "refused" else []
    return row


def _attribution(seen: Observation) -> str:
    """Name what drifted: what moves the champion's predictions first, by how much."""
    if not seen.drifted:
        return "no column drifted"
    rest = [name for name in seen.drifted if name not in seen.effects]
    told = [_effect(name, effect) for name, effect in seen.effects.items()] + rest
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    most = "" if seen.max_effect is None else f", the farthest {seen.max_column or 'column'} by {seen.max_effect:.4f}"
    return f"drifted: {', '.join(told[:_NAMED])}{more}{most}"


def _moved_most(seen: Observation) -> str:
    most = next(iter(seen.effects.items()), None)
    return "" if most is None else f", most for the predictions {_effect(*most)}"


def _effect(name: str, effect: PredictionEffect) -> str:
    return f"{name} (their mean {effect.mean:+.4f}, each by {effect.each:.4f})"


def _run_id(pipeline: str, batch: str) -> str:
    plain = f"{pipeline}__{batch}"
    safe = re.sub(r"[^A-Za-z0-9_.~:+-]", "-", plain)[:200]
    # Two batches must not share a run id: the second training would be taken for started.
    return plain if safe == plain else f"{safe}-{hashlib.sha256(plain.encode()).hexdigest()[:12]}"


def _version(version: str | None) -> str:
    return "no champion" if version is None else f"version {version}"

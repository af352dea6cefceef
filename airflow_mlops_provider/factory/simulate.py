"""Replay a file's retraining policy, and others, over the pipeline's history, from the command line. No Airflow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.connections import connections_for
from airflow_mlops_provider.factory.errors import did_you_mean
from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.factory.plan import one_of, plan, plans
from airflow_mlops_provider.factory.plan_data import PipelinePlan, TaskPlan
from airflow_mlops_provider.factory.shapes import shaped, unknown_keys

if TYPE_CHECKING:
    from airflow_mlops_provider.contracts.decide import RetrainPolicy
    from airflow_mlops_provider.contracts.simulate import SimulateResult

__all__ = ["simulated", "simulation_text"]

_METRIC = "log_loss"


def simulated(
    file: str | Path,
    *,
    changes: Sequence[str] = (),
    against: str | Path | None = None,
    environment: str | None = None,
    bundle: str | Path | None = None,
    config: FactoryConfig | None = None,
    pipeline: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> SimulateResult:
    """Return the replay of a file's policy, as `written`, and of another: with `changes`, or that of `against`.

    A change is `key=value` below `monitoring.retrain`, such as `cooldown=30d` or `when.log_loss.above=0.6`; null
    removes. The history is the first file's, in its lake; `pipeline` is the one that is meant, where a matrix makes
    several. Raises ConfigError for a file without a policy, for a change that fits no key, and where the step failed;
    PipelineFileError for a file with errors.
    """
    from airflow_mlops_provider.contracts.simulate import SimulateResult, SimulateSpec

    config = config or FactoryConfig.from_environment()
    planned = plan(file, environment=environment, bundle=bundle, config=config, pipeline=pipeline)
    decide = _decide(planned)
    policies = {"written": _policy(decide.arguments["retrain"], planned.file)}
    if changes:
        policies["changed"] = _changed(decide.arguments["retrain"], changes)
    if against is not None:
        # As in Airflow: it need not have an environment of that name.
        elsewhere = replace(config, environment=environment or config.environment)
        others = plans(against, bundle=bundle, config=elsewhere)
        other = one_of(others, pipeline if len(others) > 1 else None)
        policies["against"] = _policy(_decide(other).arguments["retrain"], other.file)
    root = Path(bundle or Path(file).parent).resolve()
    lake = planned.lake or ".mlops/lake"
    spec = SimulateSpec(
        pipeline=planned.pipeline,
        lake=lake if "://" in lake else str(root / lake),
        bundle=str(root),
        policies=policies,
        **{key: value for key, value in decide.arguments.items() if key in ("model", "labels", "alias")},
    )
    result = _run(spec, decide.runs_on, os.environ if environ is None else environ)
    return SimulateResult.model_validate(result)


def _run(spec: Any, runs_on: str | dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:  # a SimulateSpec
    from airflow_mlops_provider.runners import runner_for
    from airflow_mlops_provider.runners.base import request_for

    connections = connections_for(set(), environ, spec.lake)
    request = request_for("simulate", spec, run_key=f"{spec.pipeline}/simulate", connections=connections)
    # A pod is Airflow's to start: here its step runs in this process.
    place = "local" if "kubernetes" in runs_on else runs_on
    outcome = runner_for(place).run(request, emit=lambda message: print(message.text))
    if outcome.status != "succeeded" or outcome.result is None:
        raise ConfigError(outcome.error)
    return outcome.result


def _decide(planned: PipelinePlan) -> TaskPlan:
    for dag in planned.dags:
        for task in dag.tasks:
            if task.task_id == "decide":
                return task
    raise ConfigError(f"{planned.file} has no monitoring.retrain: there is no policy to replay")


def _policy(said: Mapping[str, Any], where: str) -> RetrainPolicy:
    from pydantic import ValidationError

    from airflow_mlops_provider.contracts.decide import RetrainPolicy

    try:
        return RetrainPolicy.model_validate_json(json.dumps(said))
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {_said(fault)}" for fault in exc.errors())
        raise ConfigError(f"{where}: {faults}") from None


def _said(fault: Any) -> str:  # pydantic's ErrorDetails
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    # Any other text than a duration of the file's own is one that pydantic cannot read.
    return "a duration such as 6h or 14d is wanted" if fault["type"] == "time_delta_parsing" else str(fault["msg"])


def _changed(said: Mapping[str, Any], changes: Sequence[str]) -> RetrainPolicy:
    found: dict[str, Any] = json.loads(json.dumps(said))
    for change in changes:
        path, value = _change(change)
        *outer, last = path
        place = found
        for key in outer:
            place[key] = place.get(key) or {}
            place = place[key]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return _policy({key: value for key, value in found.items() if value is not None}, "--policy")


def _change(text: str) -> tuple[list[str], Any]:
    """Return the keys of `key.key=value` and the value as the file's own YAML would say it."""
    from airflow_mlops_provider.contracts.decide import RetrainPolicy

    keys, equals, said = text.partition("=")
    path = keys.split(".")
    if not equals or not all(path):
        raise ConfigError(f"--policy {text}: write KEY=VALUE, such as cooldown=30d or when.log_loss.above=0.6")
    value = parse(f"value: {said}", f"--policy {keys}").data["value"]
    for key in reversed(path):
        value = {key: value}
    for at, key, known in unknown_keys(value, RetrainPolicy):
        where = ".".join(map(str, at)) or "the policy"
        raise ConfigError(f"--policy {text}: {where} has no key {key!r}{did_you_mean(key, known)}")
    value = shaped(value, RetrainPolicy)
    for key in path:
        value = value[key]
    return path, value


def simulation_text(result: SimulateResult) -> str:
    """Return one table, a line a batch, whose reasons are the last policy's; below it the totals."""
    names = [replay.name for replay in result.replays]
    metric = _METRIC if _METRIC in result.served else next(iter(result.served), None)
    measured = [metric or "metric", "kept"]
    rows = [("batch", "version", *measured, "ledger", *names, "what happened", "reason")]
    for batch in result.batches:
        last = batch.replays[-1]
        figures = (_figure(found.get(metric or "")) for found in (batch.metrics, last.metrics))
        said = (f"{one.decision}{'' if one.own else ' ?'}" for one in batch.replays)
        recorded = batch.recorded.decision if batch.recorded else "-"
        rows.append((batch.batch, batch.version or "-", *figures, recorded, *said, batch.happened or "-", last.reason))
    return "\n".join([*_table(rows), "", *_totals(result, metric)])


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _figure(found: Any) -> str:  # a MetricEstimate or nothing
    return "-" if found is None else f"{found.value:.4f}"


def _totals(result: SimulateResult, metric: str | None) -> Iterator[str]:
    served = result.served.get(metric or "")
    mean = f"; {metric} {served.value:.4f} on {_count(served.batches, 'batch')}" if served and served.batches else ""
    made = f"{_count(result.trainings, 'training')}, {result.promoted} promoted, {result.refused} refused"
    yield f"ledger: {made}{mean}"
    for replay in result.replays:
        never = replay.trainings - replay.made
        parts = [f"{_count(replay.trainings, 'training')}, {replay.promoted} promoted, {replay.refused} refused"]
        if never:
            parts.append(f"{never} never made, of whose models nothing is known")
        parts.append(f"{replay.same} of {replay.decided} decisions are the ledger's, {replay.exact} with its reason")
        kept = replay.kept.get(metric or "")
        if kept is not None:
            parts.append(_mean(metric, kept))
        yield f"{replay.name}: {'; '.join(parts)}"
    if any(not one.own for batch in result.batches for one in batch.replays):
        yield "?: said of the figures of the champion that served: this policy's own is unknown, or nobody measured it"


def _mean(metric: str | None, kept: Any) -> str:  # a KeptMetric
    unknown = f", not known on {kept.unknown}" if kept.unknown else ""
    if kept.value is None:
        return f"{metric} not known on any of {kept.unknown}"
    beside = f" (served: {kept.served:.4f})" if kept.unknown or kept.served != kept.value else ""
    return f"{metric} kept {kept.value:.4f}{beside} on {_count(kept.batches, 'batch')}{unknown}"


def _count(number: int, word: str) -> str:
    plural = "es" if word.endswith("h") else "s"
    return f"{number} {word}{'' if number == 1 else plural}"

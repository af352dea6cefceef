"""Register, promote and roll back: the ledger decides who is champion, MLflow's alias follows."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_mlops_provider.contracts.promote import (
    PromoteResult,
    PromoteSpec,
    Promotion,
    RegisterResult,
    RegisterSpec,
)
from airflow_mlops_provider.exceptions import ConfigError, LostRaceError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.sql import filter_value

if TYPE_CHECKING:
    from mlflow import MlflowClient


__all__ = ["HELD_OUT", "follow", "promote", "register", "sync_alias"]

# A version's tag: the share of the rows that it never saw.
HELD_OUT = "mlops.held_out"

_RUN_KEY = "mlops.run_key"
_SEQUENCE = "mlops.promotion_sequence"
_TAG_LENGTH = 4000
# What MLflow answers where two clients write one row at once, and where its database is locked.
_COLLISIONS = ("BAD_REQUEST", "TEMPORARILY_UNAVAILABLE")
_WRITES = 6


def register(spec: RegisterSpec, context: StepContext) -> RegisterResult:
    """Make one version of what was trained, with the verdict as its tags; a retry finds the version."""
    client = models.connect(context)
    trained, verdict = spec.trained, spec.verdict
    tags = {
        "mlops.verdict": verdict.verdict,
        "mlops.reason": verdict.reason[:_TAG_LENGTH],
        "mlops.until": trained.until or "",
        "mlops.judged_run": trained.run_id or "",
        "mlops.pipeline": spec.pipeline,
    }
    if trained.held_out:
        tags[HELD_OUT] = trained.held_out.model_dump_json()
    # What is refused is registered as it was judged; a twin is worth serving only after its judged model passed.
    refit = trained.refit_run_id is not None and verdict.verdict == "accepted"
    uri = trained.refit_model_uri if refit else trained.model_uri
    run_id = trained.refit_run_id if refit else trained.run_id
    fitted = trained.refitted_until if refit else trained.fitted_until
    tags["mlops.fitted_until"] = fitted.isoformat() if fitted else ""
    version = _version(client, spec.model, str(uri), run_id, context.run_key, tags)
    context.say(f"{spec.model} version {version}: {verdict.verdict}: {verdict.reason}")
    result = RegisterResult(model=spec.model, version=version, source=str(uri), run_id=run_id, verdict=verdict.verdict)
    Monitoring(context.lake(spec), spec.pipeline).add(
        "training",
        trained.until or "",
        trained.refitted_until or trained.fitted_until or datetime.now(UTC),
        verdict,
        model=spec.model,
        version=version,
        run_key=context.run_key,
    )
    return result


def promote(spec: PromoteSpec, context: StepContext) -> PromoteResult:
    """Make a version champion by committing the ledger's next sequence; then MLflow's alias follows.

    Raises LostRaceError if the ledger is no longer at the sequence at which the version was judged.
    """
    client = models.connect(context)
    ledger = PromotionLedger(context.lake(spec), spec.model, spec.alias)
    done = next((p for p in ledger.history() if p.run_key == context.run_key), None)
    if done is not None:
        sync_alias(client, ledger, spec.model, spec.alias, context.run_key)
        return PromoteResult(promotion=done, written=False)
    sync_alias(client, ledger, spec.model, spec.alias, context.run_key)
    current = ledger.champion()
    expected = _expected(spec, current)
    if (current.sequence if current else 0) != expected:
        raise LostRaceError(_lost(spec, expected, current))
    promotion = _promotion(spec, client, current, expected + 1, context)
    if not ledger.commit(promotion):
        raise LostRaceError(_lost(spec, expected, ledger.champion()))
    follow(client, ledger, spec.model, spec.alias, promotion)
    context.say(f"{spec.model}: version {promotion.version} is {spec.alias} (was {promotion.former or 'none'})")
    return PromoteResult(promotion=promotion, written=True)


def sync_alias(client: MlflowClient, ledger: PromotionLedger, model: str, alias: str, run_key: str) -> Promotion | None:
    """Bring MLflow's alias and the ledger together; return the outside promotion that was recorded, if any.

    An alias that lags because a process died between commit and alias is set again. One that was moved by
    hand after it had followed is recorded as a promotion from outside, never overwritten silently: the
    version's tag tells the two apart.
    """
    champion = ledger.champion()
    # Before the alias, for it is written after it: where the tag is, the alias had followed, and what it says now is
    # a move by hand, or a promotion that has taken the next sequence.
    followed = champion is not None and _followed(client, model, champion)
    version = _alias(client, model, alias)
    if champion is not None and version != champion.version and not followed:
        follow(client, ledger, model, alias, champion)
        return None
    if version is None:
        return None
    tags = client.get_model_version(model, version).tags
    if champion is not None and version == champion.version:
        if tags.get(_SEQUENCE) != str(champion.sequence):
            _tag(client, model, version, champion.sequence)
        return None
    outside = Promotion(
        sequence=(champion.sequence if champion else 0) + 1,
        kind="outside",
        version=version,
        former=champion.version if champion else None,
        batch=tags.get("mlops.until") or None,
        fitted_until=datetime.fromisoformat(tags["mlops.fitted_until"]) if tags.get("mlops.fitted_until") else None,
        reason=f"alias {alias} was moved by hand",
        run_key=f"outside/{run_key}",
        recorded_at=datetime.now(UTC),
    )
    return outside if ledger.commit(outside) else None


def _followed(client: MlflowClient, model: str, promotion: Promotion) -> bool:
    return bool(client.get_model_version(model, promotion.version).tags.get(_SEQUENCE) == str(promotion.sequence))


def follow(client: MlflowClient, ledger: PromotionLedger, model: str, alias: str, champion: Promotion | None) -> None:
    """Set alias and tag, again if another promotion came in between: its alias must not be taken back."""
    done = None
    while champion is not None and champion.sequence != done:
        _set_alias(client, model, alias, champion)
        done, champion = champion.sequence, ledger.champion()


def _expected(spec: PromoteSpec, current: Promotion | None) -> int:
    if spec.expected_sequence is not None:
        return spec.expected_sequence
    if spec.verdict is not None:
        return spec.verdict.champion_sequence
    return current.sequence if current else 0


def _lost(spec: PromoteSpec, expected: int, current: Promotion | None) -> str:
    now = f"{current.sequence} (version {current.version}, {current.kind})" if current else "empty"
    return (
        f"{spec.model}: judged at promotion {expected}, but the ledger is at {now}: "
        f"judge the version against the present champion"
    )


def _promotion(
    spec: PromoteSpec, client: MlflowClient, current: Promotion | None, sequence: int, context: StepContext
) -> Promotion:
    trained, verdict = spec.trained, spec.verdict
    version = spec.version or _addressed(spec, client, context)
    return Promotion(
        sequence=sequence,
        kind="promote",
        version=version,
        former=current.version if current else None,
        batch=trained.until if trained else None,
        fitted_until=(trained.refitted_until or trained.fitted_until or trained.holdout_start) if trained else None,
        run_id=(trained.refit_run_id or trained.run_id) if trained else None,
        judged_run_id=trained.run_id if trained else None,
        reason=spec.reason or (verdict.reason if verdict else ""),
        run_key=context.run_key,
        recorded_at=datetime.now(UTC),
    )


def _addressed(spec: PromoteSpec, client: MlflowClient, context: StepContext) -> str:
    """Return the version that `model_uri` (else `trained`) names, registering what is no version of the model yet."""
    trained = spec.trained
    uri = spec.model_uri or ((trained.refit_model_uri or trained.model_uri) if trained else None)
    if uri is None:
        raise ConfigError(f"{spec.model}: nothing to promote: give version, model_uri or trained")
    own, _, rest = uri.partition(f"models:/{spec.model}")
    if not own and rest.startswith("@"):
        return str(client.get_model_version_by_alias(spec.model, rest[1:]).version)
    if not own and rest.startswith("/"):
        return rest[1:]
    run_id = (trained.refit_run_id or trained.run_id) if trained else None
    tags = {HELD_OUT: trained.held_out.model_dump_json()} if trained and trained.held_out else {}
    return _version(client, spec.model, _stored(client, uri), run_id, context.run_key, tags)


def _stored(client: MlflowClient, uri: str) -> str:
    """Return where the model of a `runs:/` address lies: a version of that address itself could not be loaded."""
    if not uri.startswith("runs:/"):
        return uri
    from mlflow.models import get_model_info

    found = get_model_info(uri).model_id
    run_id, _, path = uri.removeprefix("runs:/").partition("/")
    return f"models:/{found}" if found else f"{client.get_run(run_id).info.artifact_uri}/{path}"


def _version(client: MlflowClient, model: str, uri: str, run_id: str | None, run_key: str, tags: dict[str, str]) -> str:
    """Return the version of `model` that this run key made, registering `uri` where it did not yet."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as exc:
        if exc.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for found in client.search_model_versions(f"name = {filter_value(model)}"):
        if found.tags.get(_RUN_KEY) == run_key and found.source == uri:
            return str(found.version)
    model_id = uri.removeprefix("models:/") if uri.startswith("models:/m-") else None
    made = client.create_model_version(model, uri, run_id=run_id, tags={**tags, _RUN_KEY: run_key}, model_id=model_id)
    return str(made.version)


def _alias(client: MlflowClient, model: str, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(model, alias).version)
    except MlflowException as exc:
        if exc.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _set_alias(client: MlflowClient, model: str, alias: str, promotion: Promotion) -> None:
    """Let MLflow's alias follow a promotion, and tag the version so that a later move by hand is known."""
    _written(lambda: client.set_registered_model_alias(model, alias, promotion.version))
    _tag(client, model, promotion.version, promotion.sequence)


def _tag(client: MlflowClient, model: str, version: str, sequence: int) -> None:
    _written(lambda: client.set_model_version_tag(model, version, _SEQUENCE, str(sequence)))


def _written(write: Callable[[], object]) -> None:
    """Write, again where another client wrote the same row at once: MLflow reads before it inserts, and refuses one."""
    from mlflow.exceptions import MlflowException

    for tried in range(1, _WRITES + 1):
        try:
            write()
            return
        except MlflowException as exc:
            if tried == _WRITES or exc.error_code not in _COLLISIONS:
                raise
            time.sleep(random.uniform(0, 0.05 * 2**tried))  # apart from the other, not a secret

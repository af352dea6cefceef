"""Restore the former champion where its shadow was better in probation."""

from __future__ import annotations

from datetime import UTC, datetime
from math import sqrt

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.evaluate import MetricEstimate
from airflow_mlops_provider.contracts.promote import Promotion, RollbackResult, RollbackSpec
from airflow_mlops_provider.exceptions import LostRaceError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.history import Monitoring
from airflow_mlops_provider.steps.promote import follow
from airflow_mlops_provider.steps.promotions import PromotionLedger

__all__ = ["rollback"]


def rollback(spec: RollbackSpec, context: StepContext) -> RollbackResult:
    """Roll the newest promotion back, once, if the interval of the daily loss difference lies above zero.

    The difference is the champion's loss minus its shadow's over the first `probation` batches that the
    champion scored. `force` rolls back at once. Raises LostRaceError if somebody promotes meanwhile.
    """
    ledger = PromotionLedger(context.lake(spec), spec.model, spec.alias)
    history = ledger.history()
    champion = history[-1] if history else None
    if champion is not None and champion.kind == "rollback" and not _followed(spec, context, champion):
        # Somebody committed and died: what follows the commit is made good.
        return _follow(spec, context, champion, written=False)
    if champion is None or champion.former is None or champion.kind != "promote":
        what = "no champion" if champion is None else f"version {champion.version} came by {champion.kind}"
        return RollbackResult(rolled_back=False, reason=f"nothing to roll back: {what}")
    due, reason = (
        (True, spec.reason or "asked for") if spec.force else _judge(spec, champion, _shadows(spec, context, champion))
    )
    if not due:
        return RollbackResult(rolled_back=False, reason=reason)
    former = next(p for p in reversed(history) if p.version == champion.former)
    promotion = former.model_copy(
        update={
            "sequence": champion.sequence + 1,
            "kind": "rollback",
            "former": champion.version,
            "reason": reason,
            "run_key": context.run_key,
            "recorded_at": datetime.now(UTC),
        }
    )
    if not ledger.commit(promotion):
        raise LostRaceError(f"{spec.model}: promoted by somebody else while version {champion.version} was judged")
    return _follow(spec, context, promotion, written=True)


def _follow(spec: RollbackSpec, context: StepContext, promotion: Promotion, *, written: bool) -> RollbackResult:
    """Let the alias, the version's tag and the monitoring table follow a rollback that is committed."""
    # MLflow only here: most batches have nothing to roll back, and its import is most of this step's time.
    client = models.connect(context)
    follow(client, PromotionLedger(context.lake(spec), spec.model, spec.alias), spec.model, spec.alias, promotion)
    client.set_model_version_tag(spec.model, str(promotion.former), "mlops.rolled_back", promotion.reason)
    result = RollbackResult(rolled_back=True, reason=promotion.reason, promotion=promotion, written=written)
    judged = [line for line in _performance(spec, context) if line["version"] == promotion.former]
    if judged:
        Monitoring(context.lake(spec), spec.pipeline).add(
            "rollback",
            judged[-1]["batch"],
            judged[-1]["end"],
            result,
            model=spec.model,
            version=promotion.former,
            run_key=promotion.run_key,
        )
    context.say(f"{spec.model}: version {promotion.former} rolled back to {promotion.version}: {promotion.reason}")
    return result


def _followed(spec: RollbackSpec, context: StepContext, champion: Promotion) -> bool:
    """Tell whether alias, tag and monitoring followed a rollback; the line in monitoring is written last."""
    if champion.run_key == context.run_key:
        return False
    told = Monitoring(context.lake(spec), spec.pipeline).lines("rollback").values()
    judged = any(line["version"] == champion.former for line in _performance(spec, context))
    return not judged or any(line["record"]["promotion"]["sequence"] == champion.sequence for line in told)


def _performance(spec: RollbackSpec, context: StepContext) -> list[Json]:
    return list(Monitoring(context.lake(spec), spec.pipeline).lines("performance").values())


def _shadows(spec: RollbackSpec, context: StepContext, champion: Promotion) -> list[MetricEstimate]:
    """Return the differences of the champion's first batches in probation."""
    records = [line["record"] for line in _performance(spec, context) if line["version"] == champion.version]
    shadowed = [record for record in records if record["shadow_version"] == champion.former]
    found = (record["shadow_difference"] for record in shadowed[: spec.probation])
    return [MetricEstimate.model_validate(difference) for difference in found if difference]


def _judge(spec: RollbackSpec, champion: Promotion, found: list[MetricEstimate]) -> tuple[bool, str]:
    if not found:
        return False, f"version {champion.version} has no batch in probation with labels"
    pooled = _pool(found)
    if not pooled.se:
        return False, f"version {champion.version}: too few days to judge its shadow"
    from scipy.stats import t as student

    half = float(student.ppf((1 + spec.level) / 2, pooled.df or 1)) * pooled.se
    figures = f"loss is {pooled.value:+.4f} +- {half:.4f} against version {champion.former}'s, {pooled.blocks} days"
    if pooled.value - half > 0:
        return True, f"version {champion.version} is worse in probation: {figures}"
    return False, f"version {champion.version} stays: {figures}"


def _pool(estimates: list[MetricEstimate]) -> MetricEstimate:
    """Return the mean over the days of several batches."""
    blocks = sum(e.blocks for e in estimates)
    variance = sum((e.blocks * (e.se or 0.0)) ** 2 for e in estimates)
    return MetricEstimate(
        value=sum(e.blocks * e.value for e in estimates) / max(blocks, 1),
        se=sqrt(variance) / max(blocks, 1),
        df=sum(e.df or 1 for e in estimates),
        rows=sum(e.rows for e in estimates),
        blocks=blocks,
    )

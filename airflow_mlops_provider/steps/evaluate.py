"""Judge a challenger against the champion on labelled rows that neither was fitted on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

import numpy as np

from airflow_mlops_provider.contracts.evaluate import (
    EvaluateResult,
    EvaluateSpec,
    Gate,
    GateResult,
    MetricEstimate,
    SliceResult,
)
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.contracts.train import HeldOut, TrainResult
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.gate import compare
from airflow_mlops_provider.steps.metrics import defined, estimate, lower_is_better
from airflow_mlops_provider.steps.promote import HELD_OUT
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.rows import PLACE
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.training_data import LabelledSet

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

__all__ = ["evaluate"]

_CLASSIFICATION = ("roc_auc", "log_loss", "brier", "calibration_gap")
_REGRESSION = ("rmse", "mae")


def evaluate(spec: EvaluateSpec, context: StepContext) -> EvaluateResult:
    """Return the verdict: every gate of `spec.gates` must pass.

    Rows are those of the holdout that the champion has not seen either: later than its last row, or in the share
    that was held out of both. Without a champion only absolute bounds count; with one and no such row the
    challenger is refused, and the reason says so.
    """
    client = models.connect(context)
    champion = PromotionLedger(context.lake(spec), spec.model, spec.alias).champion()
    trained = spec.challenger
    since = _since(trained, champion)
    if trained.held_out is None and spec.dataset.event_timestamp is None and (since or trained.until):
        return _untold(spec, champion)
    rows = LabelledSet(context.lake(spec), spec.dataset, until=trained.until, versions=dict(trained.versions))
    if trained.held_out is None:
        view, are = rows.select("judged", since=since), f"since {since}"
    else:
        view, are = _held_out(rows, trained.held_out, champion, _seen_by(client, spec, champion)), "held out"
    data = rows.data(view)
    if not len(data.y):
        return _no_rows(spec, champion, f"later than {since}" if trained.held_out is None else are)
    judged = _Judged(spec, rows, view, data.X, data.y.to_numpy().astype(np.float64))
    judged.score("challenger", models.load(trained.model_uri))
    if champion is not None:
        judged.score("champion", models.load(models.version_uri(client, spec.model, champion.version)))
    if trained.holdout_start is None and trained.fitted_until is None:
        context.say("the challenger says neither fitted_until nor holdout_start: every row counts as new to it")
    context.say(f"judged on {len(data.y):,} rows {are}")
    return judged.result(champion)


class _Judged:
    """The judged rows with both models' predictions."""

    def __init__(self, spec: EvaluateSpec, rows: LabelledSet, view: str, x: pd.DataFrame, y: np.ndarray) -> None:
        self.spec, self.rows, self.x, self.y = spec, rows, x, y
        self.predictions: dict[str, np.ndarray] = {}
        self.first, self.last = _bounds(rows, view)
        self.days = _days(rows, view, spec.timezone)

    def score(self, name: str, model: object) -> None:
        self.predictions[name] = models.predict(model, self.x)

    def result(self, champion: Promotion | None) -> EvaluateResult:
        gates = self._gates(champion)
        slices = self._slices()
        passed = all(gate.passed for gate in gates)
        return EvaluateResult(
            verdict="accepted" if passed else "refused",
            reason="; ".join(g.reason for g in gates if g.passed is passed) or "no gate was asked for",
            champion_version=champion.version if champion else None,
            champion_sequence=champion.sequence if champion else 0,
            metrics=self._metrics("challenger"),
            champion_metrics=self._metrics("champion") if champion else {},
            gates=gates,
            slices=slices,
            largest_gap=_largest_gap(slices, self.spec.primary_metric),
            rows=len(self.y),
            first_row=self.first,
            last_row=self.last,
        )

    def _gates(self, champion: Promotion | None) -> tuple[GateResult, ...]:
        given = self.spec.gates or {self.spec.primary_metric: Gate(vs_champion="better")}
        if champion is None:
            given = {name: gate.model_copy(update={"vs_champion": None}) for name, gate in given.items()}
        challenger, former = self.predictions["challenger"], self.predictions.get("champion")
        unit: Literal["days", "rows"] = "days" if self.spec.dataset.event_timestamp else "rows"
        results = (compare(name, self.y, challenger, former, self.days, gate, unit) for name, gate in given.items())
        return tuple(results)

    def _metrics(self, name: str) -> dict[str, MetricEstimate]:
        binary = bool(np.isin(self.y, (0.0, 1.0)).all())
        names = dict.fromkeys([*(_CLASSIFICATION if binary else _REGRESSION), self.spec.primary_metric])
        guess = self.predictions[name]
        return {m: estimate(m, self.y, guess, self.days) for m in names if defined(m, self.y, guess)}

    def _slices(self) -> tuple[SliceResult, ...]:
        found = []
        for column in self.spec.slices:
            values = self.x[column].to_numpy() if column in self.x else self._column(column)
            for value in sorted({str(v) for v in values}):
                mask = np.array([str(v) == value for v in values])
                # A slice whose outcomes are all alike has no ROC AUC.
                if mask.sum() >= self.spec.min_slice_rows and np.unique(self.y[mask]).size > 1:
                    found.append(self._slice(column, value, mask))
        return tuple(found)

    def _slice(self, column: str, value: str, mask: np.ndarray) -> SliceResult:
        figures = {
            name: estimate(self.spec.primary_metric, self.y[mask], p[mask], self.days[mask]).value
            for name, p in self.predictions.items()
        }
        return SliceResult(
            column=column,
            value=value,
            rows=int(mask.sum()),
            challenger=figures["challenger"],
            champion=figures.get("champion"),
        )

    def _column(self, column: str) -> np.ndarray:
        return _ordered(self.rows, "judged", identifier(column))


def _since(trained: TrainResult, champion: Promotion | None) -> datetime | None:
    """Return the first moment that neither model has seen."""
    seen = [champion.fitted_until if champion else None, None if trained.holdout_start else trained.fitted_until]
    later = [last + timedelta(microseconds=1) for last in seen if last is not None]
    later += [trained.holdout_start] if trained.holdout_start else []
    return max(later).astimezone(UTC) if later else None


def _seen_by(client: MlflowClient, spec: EvaluateSpec, champion: Promotion | None) -> HeldOut | None:
    """Return the share that the champion never saw; None where it holds none out, or nobody knows."""
    said = client.get_model_version(spec.model, champion.version).tags.get(HELD_OUT) if champion else None
    return HeldOut.model_validate_json(said) if said else None


def _held_out(rows: LabelledSet, held: HeldOut, champion: Promotion | None, other: HeldOut | None) -> str:
    """Make a view of the share that was held out: what the champion held out too, or what came after its last batch."""
    dataset = rows.dataset
    # By what the training hashed: another key, or a column that came since, would draw other rows.
    rows.hashed_by = held.by
    since = rows.until.end - dataset.window if dataset.window else None
    if champion is None:
        return rows.select("judged", since=since, share=(0.0, held.share))
    both = min(held.share, other.share) if other is not None and other.by == held.by else 0.0
    return rows.select("judged", since=since, share=(0.0, held.share), seen=(both, champion.batch))


def _untold(spec: EvaluateSpec, champion: Promotion | None) -> EvaluateResult:
    """Return the verdict where nothing tells the rows that were fitted on from others."""
    if champion is None and not _bounded(spec):
        return EvaluateResult(verdict="accepted", reason="no champion, no bound to meet, and no row was held out")
    return _unjudged(
        champion,
        "nothing tells new rows from those that were fitted on: give dataset.event_timestamp, "
        "or evaluate.holdout, a share of the rows such as 0.2",
    )


def _bounded(spec: EvaluateSpec) -> bool:
    return any(g.at_least is not None or g.at_most is not None for g in spec.gates.values())


def _no_rows(spec: EvaluateSpec, champion: Promotion | None, wanted: str) -> EvaluateResult:
    """Return the verdict where nothing is left to judge on; a first model passes if nothing was asked of it."""
    if champion is None and not _bounded(spec):
        return EvaluateResult(verdict="accepted", reason="no champion, no bound to meet, and no row was held out")
    seen = f"champion version {champion.version} has seen all of them" if champion else "the challenger has seen all"
    return _unjudged(champion, f"no labelled row is {wanted}: {seen}")


def _unjudged(champion: Promotion | None, reason: str) -> EvaluateResult:
    return EvaluateResult(
        verdict="refused",
        reason=reason,
        champion_version=champion.version if champion else None,
        champion_sequence=champion.sequence if champion else 0,
    )


def _ordered(rows: LabelledSet, view: str, expression: str) -> np.ndarray:
    """Return an expression over a view in the order of `LabelledSet.data`."""
    query = f"select {expression} from {identifier(view)} order by {identifier(PLACE)}"
    return np.asarray(rows.con.sql(query).fetchnumpy().popitem()[1])


def _days(rows: LabelledSet, view: str, timezone: str) -> np.ndarray:
    """Return the local day of each row as days since 1970, shape (n,); one block a row without event times."""
    column = rows.dataset.event_timestamp
    if column is None:
        return np.arange(rows.con.sql(f"select count(*) from {identifier(view)}").fetchall()[0][0])
    zone = ZoneInfo(timezone).key
    return _ordered(
        rows, view, f"datediff('day', date '1970-01-01', timezone('{zone}', {identifier(column)}::timestamptz)::date)"
    ).astype(np.int64)


def _bounds(rows: LabelledSet, view: str) -> tuple[datetime | None, datetime | None]:
    if rows.dataset.event_timestamp is None:
        return None, None
    column = identifier(rows.dataset.event_timestamp)
    query = f"select min({column})::timestamptz, max({column})::timestamptz from {identifier(view)}"
    first, last = rows.con.sql(query).fetchall()[0]
    return first.astimezone(UTC), last.astimezone(UTC)


def _largest_gap(slices: tuple[SliceResult, ...], metric: str) -> str:
    """Say in which slice the challenger loses most against the champion, or, without one, is worst."""
    if not slices:
        return ""
    sign = 1.0 if lower_is_better(metric) else -1.0

    def badness(s: SliceResult) -> float:
        return sign * (s.challenger - (s.champion if s.champion is not None else 0.0))

    worst = max(slices, key=badness)
    against = "" if worst.champion is None else f" against the champion's {worst.champion:.4f}"
    return f"{worst.column} {worst.value}: {metric} {worst.challenger:.4f}{against} on {worst.rows:,} rows"

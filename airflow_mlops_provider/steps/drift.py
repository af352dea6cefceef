"""Compare what was scored with what the champion was trained on."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import duckdb

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.monitor import BatchDrift, ColumnDrift, DriftResult, DriftSpec
from airflow_mlops_provider.contracts.profile import Profile
from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.alarms import drift as columns_drift
from airflow_mlops_provider.steps.attribution import SAMPLED, attribute
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.datasets import dataset_view, within
from airflow_mlops_provider.steps.domain import domain_auc
from airflow_mlops_provider.steps.history import DecisionLedger, Monitoring
from airflow_mlops_provider.steps.incidents import begun
from airflow_mlops_provider.steps.lake import BATCH_COLUMN
from airflow_mlops_provider.steps.profile import build_profile, profile_like
from airflow_mlops_provider.steps.report import write_report
from airflow_mlops_provider.steps.score import inputs, predictions_table, scoring_view
from airflow_mlops_provider.steps.sql import identifier, literal
from airflow_mlops_provider.steps.train import PREDICTION
from airflow_mlops_provider.steps.training_data import frame

__all__ = ["drift"]


def drift(spec: DriftSpec, context: StepContext) -> DriftResult:
    """Measure the drift of `current` against `reference`, or of every scored batch not measured yet.

    Raises ConfigError if neither a pair of tables nor a model is named, or a classifier is asked without a
    reference table: a profile has no rows.
    """
    if spec.domain_classifier and (spec.current is None or spec.reference is None):
        raise ConfigError("domain_classifier needs the rows of both sides: give current and reference")
    if spec.current is not None:
        return DriftResult(batches=(_tables(spec, spec.current, context),))
    if spec.model is None or spec.dataset is None:
        raise ConfigError("drift needs current and reference, or model and dataset")
    return _scored(spec, context, spec.model)


def _tables(spec: DriftSpec, current: DatasetRef, context: StepContext) -> BatchDrift:
    lake = context.lake(spec)
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        con.execute("set TimeZone = 'UTC'")
        dataset_view(con, "current_rows", within(spec.bundle, current), lake, context)
        if spec.reference is not None:
            dataset_view(con, "reference_rows", within(spec.bundle, spec.reference), lake, context)
            columns = list(spec.columns or _columns(con, "reference_rows", spec.event_timestamp))
            reference = build_profile(
                con, "reference_rows", columns, timestamp=spec.event_timestamp, timezone=spec.timezone
            )
        elif spec.model is not None:
            profile = _reference(context, spec.model, _champion(spec, context))
            reference = _narrowed(profile, spec, con.table("current_rows").columns)
        else:
            raise ConfigError("drift of a table needs a reference table or a model with a stored profile")
        result = _compare(con, "current_rows", reference, spec, batch=None, version=None)
        result = result.model_copy(update={"began": result.paged})
        return (
            result.model_copy(update={"domain_auc": _told_apart(con, spec, result)})
            if spec.domain_classifier
            else result
        )


def _told_apart(con: duckdb.DuckDBPyConnection, spec: DriftSpec, result: BatchDrift) -> float:
    both = set(con.table("reference_rows").columns) & set(con.table("current_rows").columns)
    columns = [c.column for c in result.columns if c.column in both]
    return domain_auc(
        con, "reference_rows", "current_rows", columns, timestamp=spec.event_timestamp, timezone=spec.timezone
    )


def _narrowed(profile: Profile, spec: DriftSpec, known: list[str]) -> Profile:
    """Return a model's profile without what is not compared: a table of rows need not hold their predictions."""
    wanted = spec.columns or [c.name for c in profile.columns if c.name != PREDICTION or PREDICTION in known]
    return profile.model_copy(update={"columns": tuple(c for c in profile.columns if c.name in wanted)})


def _champion(spec: DriftSpec, context: StepContext) -> str:
    from airflow_mlops_provider.steps.promotions import PromotionLedger

    champion = PromotionLedger(context.lake(spec), str(spec.model), spec.alias).champion()
    if champion is None:
        raise DataError(f"{spec.model} has no champion whose profile could be the reference")
    return champion.version


def _scored(spec: DriftSpec, context: StepContext, model: str) -> DriftResult:
    lake = context.lake(spec)
    monitoring = Monitoring(lake, spec.pipeline)
    known = monitoring.lines("drift")
    scored = BatchLedger(lake, predictions_table(model)).accepted()
    dataset = {row.batch.id: row for row in BatchLedger(lake, str(spec.dataset)).accepted()}
    versions = _Versions(context, model)
    # What a try that died has recorded: it may have told nobody.
    results = [BatchDrift.model_validate(x["record"]) for x in known.values() if x["run_key"] == context.run_key]
    for row in scored:
        if row.batch.id in known:
            continue
        version = str(row.detail["version"])
        result = _batch(spec, context, dataset[row.batch.id], row, versions)
        result = begun(result, row.batch.end, known, DecisionLedger(lake, spec.pipeline).decisions())
        monitoring.add(
            "drift", row.batch.id, row.batch.end, result, model=model, version=version, run_key=context.run_key
        )
        context.say(f"{row.batch.id}: {len(result.drifted)} of {len(result.columns)} columns drifted{_largest(result)}")
        known[row.batch.id] = {"end": row.batch.end, "record": result.model_dump()}
        results.append(result)
    return DriftResult(batches=tuple(results), no_champion=() if scored else tuple(dataset))


class _Versions:
    """The profiles and models of one registered model's versions, each read once."""

    def __init__(self, context: StepContext, model: str) -> None:
        self.context = context
        self.profile = cache(partial(_reference, context, model))
        self.model = cache(partial(self._load, model))

    def _load(self, model: str, version: str) -> Any:
        return models.load(models.version_uri(models.connect(self.context), model, version))


def _batch(spec: DriftSpec, context: StepContext, row: BatchRow, scored: BatchRow, of: _Versions) -> BatchDrift:
    lake = context.lake(spec)
    versions = {str(k): int(v) for k, v in scored.detail["versions"].items()}
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        view = scoring_view(con, spec, lake, row, versions)
        lake.view(con, "predictions", predictions_table(str(spec.model)), scored.version)
        con.execute(f"create or replace temp view monitored as {_with_predictions(con, view, spec, row.batch.id)}")
        version = str(scored.detail["version"])
        result = _compare(con, "monitored", of.profile(version), spec, batch=row.batch.id, version=version)
        result = _with_effects(con, spec, result, of)
        if spec.report and result.paged:
            path = write_report(con, "monitored", spec, context, result)
            result = result.model_copy(update={"report": path})
        return result


def _with_predictions(con: duckdb.DuckDBPyConnection, view: str, spec: DriftSpec, batch: str) -> str:
    """Return a query of a batch's rows with the champion's predictions.

    Rows without a key cannot be told apart, so each gets one of the predictions, of the same time where there is one:
    what is compared are the values of each column for itself.
    """
    own = identifier(BATCH_COLUMN)
    served = f"(select * from predictions where role = 'champion' and {own} = {literal(batch)})"
    keys = _keys(con)
    if set(keys) - {spec.event_timestamp}:
        joined = f"{identifier(view)} v join {served} p using ({', '.join(map(identifier, keys))})"
    else:
        order = f" order by {', '.join(map(identifier, keys))}" if keys else ""
        joined = f"(from {identifier(view)}{order}) v positional join (from {served}{order}) p"
    return f"select v.*, p.prediction as {identifier(PREDICTION)} from {joined}"


def _with_effects(con: duckdb.DuckDBPyConnection, spec: DriftSpec, result: BatchDrift, of: _Versions) -> BatchDrift:
    """Add what each drifted column does to the model's predictions, where the model can say it here."""
    version = str(result.version)
    drifted = [c for c in of.profile(version).columns if c.name in result.drifted and c.name != PREDICTION]
    if not drifted or not result.rows:
        return result
    sample = con.sql(f"select * from monitored using sample reservoir({SAMPLED} rows) repeatable (0)")
    try:
        model = of.model(version)
        rows = frame(inputs(model, sample.to_arrow_table(), str(spec.dataset)))
        effects = attribute(partial(models.predict, model), rows, drifted)
    except Exception as exc:  # noqa: BLE001  # what watches need not have what fits; the distances stand, and monitoring goes on
        text = f"{result.batch}: no effects on predictions: version {version}: {type(exc).__name__}: {exc}"
        of.context.emit(Message(text, level="warning"))
        return result
    columns = tuple(c.model_copy(update={"effect": effects.get(c.column)}) for c in result.columns)
    return result.model_copy(update={"columns": columns})


def _keys(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the row key: what stands before the first of our own columns in the predictions."""
    own = {"prediction", "role", "model", "model_version", "data_version", "feature_versions", "run_key", BATCH_COLUMN}
    return [name for name in con.table("predictions").columns if name not in own]


def _compare(
    con: duckdb.DuckDBPyConnection,
    view: str,
    reference: Profile,
    spec: DriftSpec,
    *,
    batch: str | None,
    version: str | None,
) -> BatchDrift:
    current = profile_like(con, view, reference, timestamp=spec.event_timestamp, timezone=spec.timezone)
    if batch is not None and not current.rows:
        # A batch may be empty, and the batches after it are watched as ever.
        return BatchDrift(batch=batch, rows=0, version=version, columns=(), drifted=(), paged=())
    columns = columns_drift(
        reference,
        current,
        false_alarms=spec.false_alarms,
        page=spec.page,
        false_pages=spec.false_pages,
        seasonal=spec.seasonal,
    )
    largest = max(columns, key=_effect, default=None)
    return BatchDrift(
        batch=batch,
        rows=current.rows,
        version=version,
        columns=columns,
        drifted=tuple(c.column for c in columns if c.drifted),
        named=tuple(c.column for c in columns if c.named),
        paged=tuple(c.column for c in columns if c.paged),
        seasonal=tuple(c.column for c in columns if c.seasonal),
        null=next((c.null for c in columns if c.null), None),
        max_column=largest.column if largest else None,
        max_effect=_effect(largest) if largest else None,
    )


def _effect(column: ColumnDrift) -> float:
    """Return the column's Jensen-Shannon distance: in [0, 1], so that columns of all kinds compare."""
    return column.jensen_shannon


def _reference(context: StepContext, model: str, version: str) -> Profile:
    client = models.connect(context)
    profile = models.load_profile(client, models.version_uri(client, model, version))
    if profile is None:
        raise DataError(f"{model} version {version} has no reference profile: airflow-mlops adopt makes one")
    return profile


def _columns(con: duckdb.DuckDBPyConnection, view: str, timestamp: str | None) -> list[str]:
    return [name for name in con.table(view).columns if name not in (timestamp, BATCH_COLUMN)]


def _largest(result: BatchDrift) -> str:
    return f", most {result.max_column} ({result.max_effect:.3f})" if result.max_column else ""

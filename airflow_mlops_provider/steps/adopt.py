"""Take a model that exists under watch: a reference profile beside it, a line in the promotion ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from airflow_mlops_provider.contracts.adopt import AdoptResult, AdoptSpec
from airflow_mlops_provider.contracts.profile import Profile
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.exceptions import DataError, LostRaceError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.datasets import dataset_view, within
from airflow_mlops_provider.steps.profile import build_profile
from airflow_mlops_provider.steps.promote import follow
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.train import PREDICTION
from airflow_mlops_provider.steps.training_data import frame

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["adopt"]

_ROWS = 65_536


def adopt(spec: AdoptSpec, context: StepContext) -> AdoptResult:
    """Profile the reference rows with the model's own predictions, and record the version as champion.

    Raises DataError if there is no such version, if it has no signature, or if the reference lacks a column.
    """
    client = models.connect(context)
    version = _version(client, spec)
    uri = models.version_uri(client, spec.model, version)
    profile = _profile(spec, context, models.load(uri))
    models.store_profile(client, spec.model, version, profile)
    ledger = PromotionLedger(context.lake(spec), spec.model, spec.alias)
    champion = ledger.champion()
    written = champion is None or champion.version != version
    promotion = champion if champion is not None and not written else _promotion(spec, version, champion, context)
    if written and not ledger.commit(promotion):
        raise LostRaceError(f"{spec.model}: promoted by somebody else while version {version} was adopted")
    follow(client, ledger, spec.model, spec.alias, promotion)
    context.say(f"{spec.model} version {version}: profile of {profile.rows:,} rows, promotion {promotion.sequence}")
    return AdoptResult(
        version=version,
        columns=tuple(c.name for c in profile.columns),
        rows=profile.rows,
        promotion=promotion,
        written=written,
    )


def _version(client: MlflowClient, spec: AdoptSpec) -> str:
    from mlflow.exceptions import MlflowException

    try:
        if spec.version is not None:
            return str(client.get_model_version(spec.model, spec.version).version)
        return str(client.get_model_version_by_alias(spec.model, spec.alias).version)
    except MlflowException as exc:
        wanted = f"version {spec.version}" if spec.version else f"alias {spec.alias!r}; name one with --version"
        raise DataError(f"model {spec.model!r} has no {wanted}: {exc.message}") from exc


def _profile(spec: AdoptSpec, context: StepContext, model: Any) -> Profile:
    schema = model.metadata.get_input_schema()
    if schema is None:
        raise DataError(f"{spec.model}: the model has no signature, so its columns are not known: log it with one")
    columns = schema.input_names()
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        con.execute("set TimeZone = 'UTC'")
        dataset_view(con, "reference", within(spec.bundle, spec.reference), context.lake(spec), context)
        known = con.table("reference").columns
        missing = [name for name in columns if name not in known]
        if missing:
            raise DataError(f"{spec.reference.name} lacks {missing}, which the model takes; it has {known}")
        kept = [*columns, *([spec.event_timestamp] if spec.event_timestamp else [])]
        con.execute(f"create temp table rows as select {', '.join(map(identifier, kept))} from reference")
        scores = _predictions(con, model, columns)
        con.register("scores", scores)
        con.execute("create temp table profiled as select * from rows positional join scores")
        return build_profile(
            con, "profiled", [*columns, PREDICTION], timestamp=spec.event_timestamp, timezone=spec.timezone
        )


def _predictions(con: duckdb.DuckDBPyConnection, model: Any, columns: list[str]) -> pa.Table:
    listed = ", ".join(map(identifier, columns))
    parts = con.sql(f"select {listed} from rows").to_arrow_reader(_ROWS)
    scores = [models.predict(model, frame(pa.Table.from_batches([part]))) for part in parts]
    return pa.table({PREDICTION: pa.chunked_array(scores, pa.float64())})


def _promotion(spec: AdoptSpec, version: str, champion: Promotion | None, context: StepContext) -> Promotion:
    return Promotion(
        sequence=(champion.sequence if champion else 0) + 1,
        kind="outside",
        version=version,
        former=champion.version if champion else None,
        reason=f"adopted, reference {spec.reference.name}",
        run_key=context.run_key,
        recorded_at=datetime.now(UTC),
    )

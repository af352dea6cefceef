"""Score every accepted batch that is not scored yet, with the champion, and its former one in shadow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.promote import Promotion
from airflow_mlops_provider.contracts.score import ScoredBatch, ScoreResult, ScoreSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.promote import sync_alias
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.sql import identifier
from airflow_mlops_provider.steps.training_data import frame, join_features

__all__ = ["inputs", "predictions_table", "score", "scoring_view"]


def predictions_table(model: str) -> str:
    """Return the lake table of a model's predictions."""
    return f"predictions/{model}"


def score(spec: ScoreSpec, context: StepContext) -> ScoreResult:
    """Score what is pending, in data time; batches that the champion was fitted on are passed over.

    Predictions go to `predictions/<model>`: key, event time, role (champion or shadow), model version, the
    data's and features' lake versions, run key. Without a champion nothing is scored and the result says so.
    """
    lake = context.lake(spec)
    ledger = PromotionLedger(lake, spec.model, spec.alias)
    done = BatchLedger(lake, predictions_table(spec.model))
    pending = BatchLedger(lake, spec.dataset).pending(done)
    if not pending:
        context.say(f"{spec.dataset}: nothing new to score")
        return ScoreResult()
    client = models.connect(context)
    sync_alias(client, ledger, spec.model, spec.alias, context.run_key)
    champion = ledger.champion()
    if champion is None:
        context.say(f"{spec.model} has no champion yet: {len(pending)} batches wait")
        return ScoreResult(no_champion=tuple(row.batch.id for row in pending))
    scorer = _Scorer(spec, context, lake, champion, done)
    return ScoreResult(batches=tuple(scorer.score(row) for row in pending if scorer.is_later(row)))


class _Scorer:
    """One champion's scoring of several batches; each model is loaded once."""

    def __init__(
        self, spec: ScoreSpec, context: StepContext, lake: Lake, champion: Promotion, done: BatchLedger
    ) -> None:
        self.spec, self.context, self.lake, self.champion, self.done = spec, context, lake, champion, done
        self.client = models.connect(context)
        self.models: dict[str, Any] = {}
        self.scored = sum(row.detail.get("sequence") == champion.sequence for row in done.accepted())

    def is_later(self, row: BatchRow) -> bool:
        """Tell whether the batch begins after what the champion was fitted on."""
        fitted = self.champion.fitted_until
        return fitted is None or row.batch.start > fitted

    def score(self, row: BatchRow) -> ScoredBatch:
        versions = {self.spec.dataset: row.version or 0}
        in_probation = self.champion.kind == "promote" and self.champion.former and self.scored < self.spec.probation
        shadow = self.champion.former if in_probation else None
        roles = {"champion": self.champion.version} | ({"shadow": shadow} if shadow else {})
        path = self.lake.staged(self.spec.pipeline, predictions_table(self.spec.model), row.batch.id)
        with duckdb.connect(config={"memory_limit": "1GB"}) as con:
            view = scoring_view(con, self.spec, self.lake, row, versions)
            rows = self._write(con, view, path, roles, row, versions)
        table = predictions_table(self.spec.model)
        version, written = self.lake.write_once(
            table, lambda: _reader(self.lake, path), app=f"{table}/{row.batch.id}#1", on_schema_change="evolve"
        )
        sequence = self.champion.sequence
        if not written:
            # An earlier try committed and died before the ledger's line: what it wrote counts, whoever serves now.
            roles, sequence = self._committed(table, version, row.batch.id) or (roles, sequence)
        shadow = roles.get("shadow")
        detail = {"sequence": sequence, "version": roles["champion"], "shadow": shadow}
        self.done.accept(
            row.batch,
            version=version,
            rows=rows,
            run_key=self.context.run_key,
            detail={**detail, "versions": versions},
        )
        self.scored += sequence == self.champion.sequence
        self.context.say(
            f"{row.batch.id}: {rows:,} rows scored by version {roles['champion']}"
            + (f", version {shadow} in shadow" if shadow else "")
        )
        return ScoredBatch(
            batch=row.batch.id,
            rows=rows,
            version=roles["champion"],
            shadow_version=shadow,
            predictions=DatasetRef(name=table, version=version),
        )

    def _committed(self, table: str, version: int, batch: str) -> tuple[dict[str, str], int] | None:
        """Return the roles in a batch's committed predictions and the promotion they belong to; None if empty."""
        with duckdb.connect() as con:
            self.lake.view(con, "predictions", table, version)
            column = identifier(BATCH_COLUMN)
            query = f"select distinct role, model_version from predictions where {column} = $1"
            roles: dict[str, str] = dict(con.execute(query, [batch]).fetchall())
        if not roles:
            return None
        history = PromotionLedger(self.lake, self.spec.model, self.spec.alias).history()
        return roles, max(p.sequence for p in history if p.version == roles["champion"])

    def _write(
        self,
        con: duckdb.DuckDBPyConnection,
        view: str,
        path: str,
        roles: dict[str, str],
        row: BatchRow,
        versions: dict[str, int],
    ) -> int:
        rows, writer = 0, None
        with self.lake.replacing(path) as sink:
            for part in self._parts(con, view):
                rows += part.num_rows
                for role, version in roles.items():
                    table = self._predicted(part, role, version, row, versions)
                    writer = writer or pq.ParquetWriter(sink, table.schema, compression="zstd")
                    writer.write_table(table)
            if writer is not None:
                writer.close()
        return rows

    def _parts(self, con: duckdb.DuckDBPyConnection, view: str) -> Iterator[pa.Table]:
        """Yield the rows in parts, in the key's order; an empty batch yields one empty part."""
        order = f" order by {', '.join(map(identifier, self.spec.unique_key))}" if self.spec.unique_key else ""
        reader = con.sql(f"select * from {identifier(view)}{order}").to_arrow_reader(self.spec.batch_rows)
        empty = True
        for batch in reader:
            empty = False
            yield pa.Table.from_batches([batch])
        if empty:
            yield reader.schema.empty_table()

    def _predicted(self, part: pa.Table, role: str, version: str, row: BatchRow, versions: dict[str, int]) -> pa.Table:
        model = self._model(version)
        features = inputs(model, part, self.spec.dataset)
        scores = models.predict(model, frame(features)) if part.num_rows else np.array([])
        kept = [*self.spec.unique_key, *([self.spec.event_timestamp] if self.spec.event_timestamp else [])]
        # The event's time may be part of the key.
        table = part.select([*dict.fromkeys(kept)])
        constants = {
            "role": role,
            "model": self.spec.model,
            "model_version": version,
            "data_version": row.version,
            "feature_versions": json.dumps({k: v for k, v in versions.items() if k != self.spec.dataset}),
            "run_key": self.context.run_key,
            BATCH_COLUMN: row.batch.id,
        }
        table = table.append_column("prediction", pa.array(scores, pa.float64()))
        for name, value in constants.items():
            kind = pa.int64() if isinstance(value, int) else pa.string()
            table = table.append_column(name, pa.array([value] * part.num_rows, kind))
        return table

    def _model(self, version: str) -> Any:
        if version not in self.models:
            self.models[version] = models.load(models.version_uri(self.client, self.spec.model, version))
        return self.models[version]


def scoring_view(con: duckdb.DuckDBPyConnection, spec: Any, lake: Lake, row: BatchRow, versions: dict[str, int]) -> str:
    """Make a view of a batch's rows with their features; `spec` names dataset, event_timestamp, feature_service."""
    con.execute("set TimeZone = 'UTC'")
    lake.view_since(con, "dataset", spec.dataset, row.version or 0)
    con.execute("create or replace temp table batch as select ? as id", [row.batch.id])
    con.execute(
        f"create or replace temp view entities as select * from dataset "
        f"where {identifier(BATCH_COLUMN)} = (select id from batch)"
    )
    joined, _ = join_features(
        con,
        "entities",
        lake,
        feature_service=spec.feature_service,
        event_timestamp=spec.event_timestamp,
        versions=versions,
    )
    return joined


def inputs(model: Any, part: pa.Table, dataset: str) -> pa.Table:
    """Return the columns that the model was trained on, by its signature. Raises DataError if one is missing."""
    schema = model.metadata.get_input_schema()
    if schema is None:
        raise DataError("the model has no signature: log it with one, so that its columns are known")
    names = schema.input_names()
    missing = [name for name in names if name not in part.column_names]
    if missing:
        raise DataError(f"{dataset} lacks {missing}, which the model was trained on")
    return part.select(names)


def _reader(lake: Lake, path: str) -> pa.RecordBatchReader:
    file = pq.ParquetFile(lake.source(path), pre_buffer=False)
    return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(65_536))

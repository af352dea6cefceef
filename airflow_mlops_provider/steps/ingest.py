"""Bring a batch in: stage it as Parquet outside every table; publishing is one path, in validate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops_provider.contracts.base import Batch, DatasetRef
from airflow_mlops_provider.contracts.ingest import IngestedDataset, IngestResult, IngestSpec, Source
from airflow_mlops_provider.contracts.validate import ValidateSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.sources import read_source
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["ingest"]


def ingest(spec: IngestSpec, context: StepContext) -> IngestResult:
    """Stage every dataset of the batch, and publish them where no validation follows.

    A batch that is accepted already is not read again. Raises DataError if a source gives no table, or
    tables of different columns.
    """
    done: dict[str, IngestedDataset] = {}
    for name, source in spec.datasets.items():
        done[name] = (
            _reference(name, source, spec, context) if source.reference else _stage(name, source, spec, context)
        )
        context.say(f"{name}: {done[name].rows:,} rows{'' if done[name].written else ' (there already)'}")
    if spec.publish:
        done |= _publish(spec, context, [name for name, source in spec.datasets.items() if not source.reference])
    return IngestResult(batch=spec.batch.id, datasets=done)


def _stage(name: str, source: Source, spec: IngestSpec, context: StepContext) -> IngestedDataset:
    lake = context.lake(spec)
    ledger = BatchLedger(lake, name)
    accepted = ledger.accepted()
    for row in accepted:
        if row.batch.id == spec.batch.id:
            return IngestedDataset(dataset=DatasetRef(name=name, version=row.version), rows=row.rows, written=False)
    cursor = _cursor(lake, name, source, accepted[-1].version) if source.cursor and accepted else None
    tables = read_source(name, source, spec.batch, context, bundle=spec.bundle, cursor=cursor)
    path = lake.staged(spec.pipeline, name, spec.batch.id)
    rows, digest = _write(name, lake, path, tables, spec.batch)
    return IngestedDataset(dataset=DatasetRef(kind="parquet", name=path, version=digest), rows=rows, written=True)


def _cursor(lake: Lake, name: str, source: Source, version: int | None) -> Any:
    """Return the largest value of the cursor column that was accepted so far."""
    with duckdb.connect() as con:
        lake.view(con, "t", name, version)
        return con.sql(f"select max({identifier(str(source.cursor))}) from t").fetchall()[0][0]


def _write(name: str, lake: Lake, path: str, tables: Iterable[pa.Table], batch: Batch) -> tuple[int, str]:
    """Write the stream to `path` in one move; return its rows and a fingerprint."""
    rows, digest, writer, known = 0, hashlib.sha256(), None, lake.schema(name)
    with lake.replacing(path) as sink:
        for part in tables:
            table = _with_batch(name, _typed(part, known), batch)
            writer = writer or pq.ParquetWriter(sink, table.schema, compression="zstd")
            table = _like(name, table, writer.schema)
            writer.write_table(table)
            rows += table.num_rows
            _digest(digest, table)
        if writer is None:
            raise DataError(f"{name}: the source gave no table for {batch.id}; yield an empty one with its columns")
        writer.close()
    return rows, digest.hexdigest()[:16]


def _digest(digest: hashlib._Hash, table: pa.Table) -> None:
    """Add the rows to the digest as Arrow's stream format writes them: slices and offsets do not matter."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    digest.update(sink.getvalue())


def _typed(table: pa.Table, known: pa.Schema | None) -> pa.Table:
    """Give all-null columns a type: the one that the published table has, else text."""
    for index, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            there = known is not None and field.name in known.names
            kind = known.field(field.name).type if there and known is not None else pa.string()
            table = table.set_column(index, field.name, table.column(index).cast(kind))
    return table


def _with_batch(name: str, table: pa.Table, batch: Batch) -> pa.Table:
    if BATCH_COLUMN in table.column_names:
        raise DataError(f"{name}: the column name {BATCH_COLUMN!r} is this package's own")
    return table.append_column(BATCH_COLUMN, pa.array([batch.id] * table.num_rows, pa.string()))


def _like(name: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as exc:
        raise DataError(f"{name}: parts of one batch differ in their columns: {exc}") from exc


def _reference(name: str, source: Source, spec: IngestSpec, context: StepContext) -> IngestedDataset:
    """Replace a small reference table where its content changed."""
    lake = context.lake(spec)
    table = pa.concat_tables(read_source(name, source, spec.batch, context, bundle=spec.bundle))
    table = _typed(table, lake.schema(name))
    ledger = BatchLedger(lake, name)
    digest = hashlib.sha256()
    _digest(digest, table)
    fingerprint = digest.hexdigest()[:16]
    newest = max(ledger.rows(), key=lambda r: r.recorded_at, default=None)
    if newest is not None and newest.detail.get("fingerprint") == fingerprint:
        return IngestedDataset(dataset=DatasetRef(name=name, version=newest.version), rows=newest.rows, written=False)
    before = lake.version(name) or 0
    version, written = lake.write_once(
        name, table, app=f"{name}/{before}/{fingerprint}", mode="overwrite", on_schema_change=source.on_schema_change
    )
    batch = spec.batch.model_copy(update={"id": f"{spec.batch.id}/{fingerprint}"})
    ledger.accept(
        batch, version=version, rows=table.num_rows, run_key=context.run_key, detail={"fingerprint": fingerprint}
    )
    return IngestedDataset(dataset=DatasetRef(name=name, version=version), rows=table.num_rows, written=written)


def _publish(spec: IngestSpec, context: StepContext, names: list[str]) -> dict[str, IngestedDataset]:
    from airflow_mlops_provider.steps.validate import validate

    result = validate(
        ValidateSpec(
            pipeline=spec.pipeline,
            lake=spec.lake,
            bundle=spec.bundle,
            datasets={},
            batch=spec.batch,
            publish=tuple(names),
            unique_keys={name: spec.datasets[name].unique_key for name in names},
            on_schema_change={name: spec.datasets[name].on_schema_change for name in names},
        ),
        context,
    )
    if result.verdict == "refused":
        raise DataError(f"batch {spec.batch.id}: {result.refusal()}")
    return {
        name: IngestedDataset(dataset=verdict.accepted, rows=verdict.rows - verdict.quarantined, written=True)
        for name, verdict in result.datasets.items()
        if verdict.accepted is not None
    }

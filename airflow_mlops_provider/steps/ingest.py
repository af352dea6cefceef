"""Bring a batch in: stage it as Parquet outside every table; publishing is one path, in validate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_mlops_provider.contracts.base import Batch, DatasetRef
from airflow_mlops_provider.contracts.ingest import IngestedDataset, IngestResult, IngestSpec, Source
from airflow_mlops_provider.contracts.validate import ValidateSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.batches import BatchLedger, BatchRow
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.lake_types import check_storable
from airflow_mlops_provider.steps.sources import read_source
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["ingest"]


def ingest(spec: IngestSpec, context: StepContext) -> IngestResult:
    """Stage every dataset of the batch, and publish them where no validation follows.

    A batch that is accepted already is not read again. Of a reference table's rows with the same `unique_key`
    the first stays, as of a batch's. Raises DataError if a source gives no table, tables of different columns,
    or a type that the lake does not keep.
    """
    done: dict[str, IngestedDataset] = {}
    for name, source in spec.datasets.items():
        done[name] = (
            _reference(name, source, spec, context) if source.reference else _stage(name, source, spec, context)
        )
        context.say(f"{name}: {done[name].rows:,} rows{'' if done[name].written else ' (there already)'}")
    batched = {name: one for name, one in done.items() if not spec.datasets[name].reference}
    if spec.publish and any(one.written for one in batched.values()):
        done |= _publish(spec, context, batched)
    return IngestResult(batch=spec.batch.id, datasets=done)


def _stage(name: str, source: Source, spec: IngestSpec, context: StepContext) -> IngestedDataset:
    lake = context.lake(spec)
    ledger = BatchLedger(lake, name)
    accepted = ledger.accepted()
    for row in accepted:
        if row.batch.id == spec.batch.id:
            return IngestedDataset(dataset=DatasetRef(name=name, version=row.version), rows=row.rows, written=False)
    cursor = _cursor(lake, name, source, accepted) if source.cursor and accepted else None
    known = lake.schema(name)
    tables = read_source(name, source, spec.batch, context, bundle=spec.bundle, known=known, cursor=cursor)
    path = lake.staged(spec.pipeline, name, spec.batch.id)
    rows, digest = _write(name, lake, path, tables, spec.batch, known)
    return IngestedDataset(dataset=DatasetRef(kind="parquet", name=path, version=digest), rows=rows, written=True)


def _cursor(lake: Lake, name: str, source: Source, accepted: list[BatchRow]) -> Any:
    """Return the largest value of the cursor column that was accepted so far."""
    # Batches come in any order (a backfill): the newest version holds all of them, the last batch's may not.
    version = max(row.version for row in accepted if row.version is not None)
    column = str(source.cursor)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        lake.view(con, "t", name, version)
        if column not in con.table("t").columns:
            raise DataError(f"{name}: no column {column!r} for the cursor; there are {con.table('t').columns}")
        return con.sql(f"select max({identifier(column)}) from t").fetchall()[0][0]


def _write(
    name: str, lake: Lake, path: str, tables: Iterable[pa.Table], batch: Batch, known: pa.Schema | None
) -> tuple[int, str]:
    """Write the stream to `path` in one move; return its rows and a fingerprint."""
    rows, digest, parts = 0, hashlib.sha256(), _alike(name, tables, known)
    first = next(parts, None)
    if first is None:
        raise DataError(f"{name}: the source gave no table for {batch.id}; yield an empty one with its columns")
    schema = _with_batch(first, batch).schema
    check_storable(name, schema)
    with lake.replacing(path) as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for part in chain([first], parts):
            table = _with_batch(part, batch)
            writer.write_table(table)
            rows += table.num_rows
            _digest(digest, table)
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


def _with_batch(table: pa.Table, batch: Batch) -> pa.Table:
    return table.append_column(BATCH_COLUMN, pa.array([batch.id] * table.num_rows, pa.string()))


def _alike(name: str, tables: Iterable[pa.Table], known: pa.Schema | None) -> Iterator[pa.Table]:
    """Yield the parts with the columns of the first one."""
    schema: pa.Schema | None = None
    for part in tables:
        table = _typed(part, schema or known)
        schema = schema or _checked(name, table.schema)
        yield _like(name, table, schema)


def _checked(name: str, schema: pa.Schema) -> pa.Schema:
    # Readers of the lake do not tell names apart by case.
    names = [n.lower() for n in schema.names]
    twice = sorted({n for n in schema.names if names.count(n.lower()) > 1})
    if twice:
        raise DataError(f"{name}: columns {', '.join(map(repr, twice))} have one name")
    if BATCH_COLUMN in schema.names:
        raise DataError(f"{name}: the column name {BATCH_COLUMN!r} is this package's own")
    return schema


def _like(name: str, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table in the schema's order and types; a number may become another kind of number, loss-free."""
    if sorted(table.column_names) != sorted(schema.names):
        raise DataError(
            f"{name}: parts of one batch differ in their columns: {schema.names}, then {table.column_names}"
        )
    table = table.select(schema.names)
    wrong = [f.name for f, g in zip(table.schema, schema, strict=True) if _kind(f.type) != _kind(g.type)]
    try:
        if not wrong:
            return table.cast(schema)
    except pa.ArrowInvalid as exc:
        raise DataError(f"{name}: parts of one batch differ in their types: {exc}") from exc
    types = "; ".join(f"{n}: {schema.field(n).type}, then {table.schema.field(n).type}" for n in wrong)
    raise DataError(
        f"{name}: parts of one batch differ in their types: {types} (a column without any value is taken for text)"
    )


def _kind(type_: pa.DataType) -> str:
    """Return what a type may be cast within: numbers among each other, text among its encodings."""
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    if pa.types.is_timestamp(type_):
        return "instant" if type_.tz else "local time"
    return str(type_)


def _reference(name: str, source: Source, spec: IngestSpec, context: StepContext) -> IngestedDataset:
    """Replace a small reference table where its content changed."""
    lake, known = context.lake(spec), context.lake(spec).schema(name)
    parts = list(_alike(name, read_source(name, source, spec.batch, context, bundle=spec.bundle, known=known), known))
    if not parts:
        raise DataError(f"{name}: the source gave no table; yield an empty one with its columns")
    table = _first_of_each(name, pa.concat_tables(parts), source.unique_key)
    digest = hashlib.sha256()
    _digest(digest, table)
    fingerprint = digest.hexdigest()[:16]
    ledger = BatchLedger(lake, name)
    newest = max(ledger.accepted(), key=lambda row: row.version or 0, default=None)
    if newest is not None and newest.detail.get("fingerprint") == fingerprint:
        return IngestedDataset(dataset=DatasetRef(name=name, version=newest.version), rows=newest.rows, written=False)
    before = lake.version(name) or 0
    version, written = lake.write_once(
        name, table, app=f"{name}/{before}/{fingerprint}", mode="overwrite", on_schema_change=source.on_schema_change
    )
    # The version, not the content: what changes back is a replacement too.
    batch = spec.batch.model_copy(update={"id": f"{spec.batch.id}/{version}"})
    ledger.accept(
        batch, version=version, rows=table.num_rows, run_key=context.run_key, detail={"fingerprint": fingerprint}
    )
    return IngestedDataset(dataset=DatasetRef(name=name, version=version), rows=table.num_rows, written=written)


def _first_of_each(name: str, table: pa.Table, key: tuple[str, ...]) -> pa.Table:
    """Return the table with the first row of each key, in their order."""
    missing = [column for column in key if column not in table.column_names]
    if missing:
        raise DataError(f"{name}: no column {missing} for unique_key; there are {table.column_names}")
    if not key:
        return table
    numbered = table.select(list(key)).append_column("#", pa.array(range(table.num_rows), pa.int64()))
    kept = numbered.group_by(list(key)).aggregate([("#", "min")]).column("#_min")
    return table.take(kept.take(pc.sort_indices(kept)))


def _publish(spec: IngestSpec, context: StepContext, staged: dict[str, IngestedDataset]) -> dict[str, IngestedDataset]:
    from airflow_mlops_provider.steps.validate import validate

    names = list(staged)
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
        name: IngestedDataset(
            dataset=verdict.accepted, rows=verdict.rows - verdict.quarantined, written=staged[name].written
        )
        for name, verdict in result.datasets.items()
        if verdict.accepted is not None
    }

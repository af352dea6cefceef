"""The three kinds of source, each as a stream of Arrow tables of one batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.ingest import Source
from airflow_mlops_provider.exceptions import DataError, MissingExtraError
from airflow_mlops_provider.steps.context import StepContext, load_function

__all__ = ["read_source"]

_FORMATS = {".csv": "csv", ".gz": "csv", ".parquet": "parquet", ".jsonl": "json", ".json": "json"}
_ROWS = 65_536


def read_source(
    name: str, source: Source, batch: Batch, context: StepContext, *, bundle: str, cursor: Any = None
) -> Iterator[pa.Table]:
    """Yield the rows of `batch` as Arrow tables of some 65,000 rows.

    `cursor` is the largest value of the source's cursor column that was read before. Raises DataError if
    the source gives something that is not a table, or nothing can be read at all.
    """
    if source.python_callable:
        yield from _call(name, load_function(source.python_callable, bundle), batch, context)
    elif source.files:
        yield from _files(name, source, batch, context, bundle)
    else:
        yield from _sql(name, source, batch, context, cursor)


def _call(name: str, function: Callable[..., Any], batch: Batch, context: StepContext) -> Iterator[pa.Table]:
    wants_context = "context" in inspect.signature(function).parameters
    given = function(batch, context=context) if wants_context else function(batch)
    parts = given if isinstance(given, Iterable) and not _is_table(given) else [given]
    for part in parts:
        yield _as_table(name, part)


def _is_table(part: Any) -> bool:
    return isinstance(part, pa.Table | pa.RecordBatch) or hasattr(part, "to_records")


def _as_table(name: str, part: Any) -> pa.Table:
    if isinstance(part, pa.Table):
        return part
    if isinstance(part, pa.RecordBatch):
        return pa.Table.from_batches([part])
    if hasattr(part, "to_records"):
        return pa.Table.from_pandas(part, preserve_index=False)
    raise DataError(f"{name}: a source yields Arrow tables, record batches or pandas frames, not {type(part).__name__}")


def _files(name: str, source: Source, batch: Batch, context: StepContext, bundle: str) -> Iterator[pa.Table]:
    import fsspec
    import pyarrow.dataset as ds

    address = str(source.files).replace("{batch}", batch.id)
    if "://" not in address:
        address = str(Path(bundle) / address)
    options = context.storage_options(source.conn_id) if source.conn_id else {}
    filesystem, pattern = fsspec.core.url_to_fs(address, **options)
    paths = sorted(filesystem.glob(pattern))
    if not paths:
        raise DataError(f"{name}: no file matches {address!r}")
    ending = "." + paths[0].rsplit(".", 1)[-1]
    form = {"jsonl": "json"}.get(source.format or "", source.format) or _FORMATS.get(ending)
    if form is None:
        raise DataError(f"{name}: {paths[0]} ends in {ending!r}: say format: csv, parquet or jsonl")
    for path in paths:
        # One file at a time: a column that one file lacks must not vanish because another came first.
        try:
            for part in ds.dataset(path, format=form, filesystem=filesystem).to_batches(batch_size=_ROWS):
                yield pa.Table.from_batches([part])
        except pa.ArrowInvalid as exc:
            raise DataError(f"{name}: {path} is not readable as {form}: {exc}") from exc


def _sql(name: str, source: Source, batch: Batch, context: StepContext, cursor: Any) -> Iterator[pa.Table]:
    try:
        import sqlalchemy as sa
    except ImportError:
        raise MissingExtraError("sqlalchemy", "lake") from None
    engine = sa.create_engine(context.sqlalchemy_url(str(source.conn_id)))
    query = sa.text(str(source.sql))
    known = {"start": batch.start, "end": batch.end, "cursor": cursor}
    bound = {key: value for key, value in known.items() if key in query.compile().params}
    try:
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(query, bound)
            columns = list(result.keys())
            for rows in result.mappings().partitions(_ROWS):
                yield pa.Table.from_pylist([dict(row) for row in rows]).select(columns)
    except sa.exc.SQLAlchemyError as exc:
        # The driver's words without the statement's parameters or the address, which may hold a password.
        raise DataError(f"{name}: the query failed: {type(exc).__name__}: {getattr(exc, 'orig', '')}") from None
    finally:
        engine.dispose()

"""The three kinds of source, each as a stream of Arrow tables of one batch."""

from __future__ import annotations

import errno
import inspect
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.ingest import CsvDialect, Source
from airflow_mlops_provider.exceptions import DataError, TransientError
from airflow_mlops_provider.steps.context import StepContext, load_function
from airflow_mlops_provider.steps.database import query_tables

__all__ = ["read_source"]

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".json": "jsonl"}
_COMPRESSED = {".gz", ".bz2", ".xz"}
# What parts the fields of most CSV files.
_DELIMITERS = (";", "\t", "|", ",")
_CSV_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}
_ROWS = 65_536
# CSV and JSON Lines say no types: they are those of the first block, so it is a large one.
_BLOCK_BYTES = 16 << 20
# Holds a CSV's first line, or enough of it to see what parts it.
_HEAD_BYTES = 64 << 10
# Of a file system's errors those that a retry does not get past; Arrow's and gzip's own have no number.
_LASTING = {None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR}


def read_source(
    name: str,
    source: Source,
    batch: Batch,
    context: StepContext,
    *,
    bundle: str,
    known: pa.Schema | None = None,
    cursor: Any = None,
) -> Iterator[pa.Table]:
    """Yield the rows of `batch` as Arrow tables of limited size.

    `known` are the columns of the table that the rows are for: text formats, which say no types, are read in
    its types. `cursor` is the largest value of the source's cursor column that was read before. In CSV an empty
    field is null, a quoted empty one is not. Raises DataError if the source gives something that is not a
    table, or nothing can be read at all.
    """
    if source.python_callable:
        yield from _call(name, load_function(source.python_callable, bundle), batch, context)
    elif source.files:
        yield from _files(name, source, batch, context, bundle, known)
    else:
        yield from _query(name, source, batch, context, known, cursor)


def _query(
    name: str, source: Source, batch: Batch, context: StepContext, known: pa.Schema | None, cursor: Any
) -> Iterator[pa.Table]:
    bound = {"start": batch.start, "end": batch.end, "cursor": cursor}
    for table in query_tables(name, str(source.sql), str(source.conn_id), context, bound=bound, known=known):
        if not table.num_rows and known is None:
            raise DataError(f"{name}: the query gives no row for {batch.id}, and nothing earlier tells its types")
        yield table


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
        try:
            return pa.Table.from_pandas(part, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as exc:
            raise DataError(f"{name}: a frame is no table: {exc}") from exc
    raise DataError(f"{name}: a source yields Arrow tables, record batches or pandas frames, not {type(part).__name__}")


def _files(
    name: str, source: Source, batch: Batch, context: StepContext, bundle: str, known: pa.Schema | None
) -> Iterator[pa.Table]:
    import fsspec

    address = str(source.files).replace("{batch}", batch.id)
    if "://" not in address:
        address = str(Path(bundle) / address)
    options = context.storage_options(source.conn_id) if source.conn_id else {}
    filesystem, pattern = fsspec.core.url_to_fs(address, **options)
    # Listings are remembered by the process: a file that came since would stay unseen.
    filesystem.invalidate_cache()
    with _readable(f"{name}: {address!r} cannot be listed"):
        paths = sorted(filesystem.glob(pattern))
    if not paths:
        raise DataError(f"{name}: no file matches {address!r}")
    for path in paths:
        form = source.format or _form(name, path)
        if source.csv and form != "csv":
            raise DataError(f"{name}: {path} is no CSV file: remove `csv`")
        compression = None if form == "parquet" else "infer"
        with (
            _readable(f"{name}: {path} is not readable as {form}"),
            filesystem.open(path, "rb", compression=compression) as file,
        ):
            yield from _csv(file, known, source.csv or CsvDialect()) if form == "csv" else _READERS[form](file, known)


@contextmanager
def _readable(wrong: str) -> Iterator[None]:
    """Say `wrong` of what a file or its store raises: DataError, or TransientError where a retry may help."""
    try:
        yield
    except (pa.ArrowInvalid, EOFError, zlib.error) as exc:
        raise DataError(f"{wrong}: {exc}") from exc
    except OSError as exc:
        raise (DataError if exc.errno in _LASTING else TransientError)(f"{wrong}: {exc}") from exc


def _form(name: str, path: str) -> str:
    file = PurePosixPath(path)
    ending = PurePosixPath(file.stem).suffix if file.suffix in _COMPRESSED else file.suffix
    if ending not in _FORMATS:
        raise DataError(f"{name}: {path} ends in {ending!r}: say format: csv, parquet or jsonl")
    return _FORMATS[ending]


def _csv(file: Any, known: pa.Schema | None, dialect: CsvDialect) -> Iterator[pa.Table]:
    from pyarrow import csv

    _check_delimiter(file.read(_HEAD_BYTES).partition(b"\n")[0], dialect.delimiter)
    file.seek(0)
    types = {name: _CSV_TYPES[kind] for name, kind in dialect.types.items()}
    types |= {field.name: field.type for field in known or () if not pa.types.is_nested(field.type)}
    usual = csv.ConvertOptions()
    convert = csv.ConvertOptions(
        column_types=types,
        true_values=[*usual.true_values, *dialect.true_values],
        false_values=[*usual.false_values, *dialect.false_values],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        decimal_point=dialect.decimal_point,
    )
    parse = csv.ParseOptions(delimiter=dialect.delimiter)
    reader = csv.open_csv(file, csv.ReadOptions(block_size=_BLOCK_BYTES), parse, convert)
    wrong = [f.name for f in reader.schema if pa.types.is_binary(f.type) and f.name not in types]
    if wrong:
        raise pa.ArrowInvalid(f"column {wrong} is not UTF-8")
    _check_columns(reader.schema.names, known, dialect.delimiter)
    yield from _tables(reader.schema, reader)


def _check_delimiter(head: bytes, delimiter: str) -> None:
    """Refuse a first line that another delimiter parts: it would be read as one column of a strange name."""
    names = re.sub(rb'"[^"]*"', b"", head)
    other = next((other for other in _DELIMITERS if other.encode() in names), None)
    if other and delimiter.encode() not in names:
        said = other.replace("\t", r"\t")
        raise pa.ArrowInvalid(
            f'its first line has no {delimiter!r} but {other!r}: say `csv: {{delimiter: "{said}"}}` '
            "(and decimal_point, where numbers have a comma), or put a name that holds it in quotes"
        )


def _check_columns(names: list[str], known: pa.Schema | None, delimiter: str) -> None:
    if len(names) == 1 and known is not None and names[0] not in known.names:
        raise pa.ArrowInvalid(
            f"its only column is {names[0]!r}, the table has {known.names}: is {delimiter!r} the file's delimiter? "
            "Say it as `csv: {delimiter: ...}`"
        )


def _jsonl(file: Any, known: pa.Schema | None) -> Iterator[pa.Table]:
    from pyarrow import json

    read = json.ReadOptions(block_size=_BLOCK_BYTES)
    found = json.open_json(file, read_options=read).schema
    # Only for columns that are there: a type for another one would make it up, full of nulls.
    types = [f for f in known or () if f.name in found.names and not pa.types.is_nested(f.type)]
    file.seek(0)
    parse = json.ParseOptions(explicit_schema=pa.schema(types))
    reader = json.open_json(file, read_options=read, parse_options=parse)
    yield from _tables(reader.schema, reader)


def _parquet(file: Any, known: pa.Schema | None) -> Iterator[pa.Table]:  # noqa: ARG001  # it says its own types
    import pyarrow.parquet as pq

    stored = pq.ParquetFile(file)
    yield from _tables(stored.schema_arrow, stored.iter_batches(_ROWS))


def _tables(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield each batch as a table, and an empty one where there is none: its columns count."""
    given = False
    for part in batches:
        given = True
        yield pa.Table.from_batches([part])
    if not given:
        yield schema.empty_table()


_READERS: dict[str, Callable[[Any, pa.Schema | None], Iterator[pa.Table]]] = {
    "jsonl": _jsonl,
    "parquet": _parquet,
}

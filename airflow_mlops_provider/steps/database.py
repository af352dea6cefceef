"""Rows of a query behind a connection, streamed as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_mlops_provider.exceptions import ConfigError, DataError, MissingExtraError, TransientError
from airflow_mlops_provider.steps.context import StepContext

if TYPE_CHECKING:
    from sqlalchemy import Engine, Executable

__all__ = ["query_tables"]

_ROWS = 65_536
_DIGITS = 38


def query_tables(
    name: str,
    statement: str | Executable,
    conn_id: str,
    context: StepContext,
    *,
    bound: Mapping[str, Any] | None = None,
    known: pa.Schema | None = None,
) -> Iterator[pa.Table]:
    """Yield the rows of `statement` as tables of at most 65,536 rows; a result without rows is one empty table.

    Of `bound` the values are bound that a text names (`:name`), a time for SQLite as ISO text with its offset.
    Types are those of the values; a number takes the type that `known` has for its column where that loses
    nothing. Raises DataError if the query fails or a column mixes kinds, TransientError if the database cannot be
    reached. No message holds the address.
    """
    try:
        import sqlalchemy as sa
    except ImportError:
        raise MissingExtraError("sqlalchemy", "lake") from None
    engine = _engine(name, conn_id, context)
    query: Any = statement  # an Executable, and a TextClause has more
    params: dict[str, Any] = {}
    if isinstance(statement, str):
        query = sa.text(statement)
        named = query.compile().params
        params = {key: _bindable(engine, value) for key, value in (bound or {}).items() if key in named}
    try:
        connection = engine.connect().execution_options(stream_results=True)
    except sa.exc.DBAPIError as exc:
        engine.dispose()
        raise TransientError(f"{name}: connection {conn_id!r} does not open: {exc.orig}") from None
    try:
        with connection:
            result = connection.execute(query, params)
            columns, given = list(result.keys()), False
            for rows in result.partitions(_ROWS):
                given = True
                yield _table(name, columns, rows, known)
            if not given:
                yield _table(name, columns, (), known)
    except sa.exc.SQLAlchemyError as exc:
        # The driver's words, without the statement's parameters.
        said = f"{name}: the query failed: {type(exc).__name__}: {getattr(exc, 'orig', None) or exc}"
        lost = isinstance(exc, sa.exc.DBAPIError) and exc.connection_invalidated
        raise (TransientError if lost else DataError)(said) from None
    finally:
        engine.dispose()


def _bindable(engine: Engine, value: Any) -> Any:
    # SQLite has no times. What its driver makes of them is set for the whole process, and libraries set it.
    text = engine.dialect.name == "sqlite" and isinstance(value, datetime)
    return value.isoformat(" ") if text else value


def _engine(name: str, conn_id: str, context: StepContext) -> Engine:
    import sqlalchemy as sa

    url = context.sqlalchemy_url(conn_id)
    try:
        return sa.create_engine(url)
    except sa.exc.NoSuchModuleError:
        raise ConfigError(f"{name}: connection {conn_id!r} is of type {url.drivername!r}, no SQL database") from None


def _table(name: str, columns: list[str], rows: Any, known: pa.Schema | None) -> pa.Table:  # rows of SQLAlchemy
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"{name}: the query gives {', '.join(twice)} twice: name them apart with `as`")
    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    return pa.table({column: _array(name, column, v, known) for column, v in zip(columns, values, strict=True)})


def _array(name: str, column: str, values: tuple[Any, ...], known: pa.Schema | None) -> pa.Array:
    kept = known.field(column).type if known is not None and column in known.names else None
    try:
        array = pa.array(values)
        if pa.types.is_decimal(array.type):
            # The digits of this part's values say nothing about the column's.
            return pa.array(values, kept or pa.decimal128(_DIGITS, array.type.scale))
        if kept is not None and pa.types.is_integer(array.type) and _is_number(kept):
            return array.cast(kept)
        return array
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as exc:
        raise DataError(f"{name}: column {column!r}: {exc}; cast it in the query") from exc


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))

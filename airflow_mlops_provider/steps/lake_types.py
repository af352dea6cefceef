"""What types a lake's tables have: which it keeps, and what a write of other columns does."""

from __future__ import annotations

import pyarrow as pa

from airflow_mlops_provider.exceptions import DataError

__all__ = ["check_schema", "check_storable", "storable"]


def check_schema(table: str, known: pa.Schema, given: pa.Schema, policy: str) -> bool:
    """Return whether a write of `given` must merge schemas.

    Delta casts types silently, so we compare them. Raises DataError if a type changed, or a column came or went
    where `policy` is reject.
    """
    types = {f.name: _stored(f.type) for f in known}
    retyped = [
        f"{f.name}: {types[f.name]} became {_stored(f.type)}"
        for f in given
        if f.name in types and types[f.name] != _stored(f.type)
    ]
    if retyped:
        raise DataError(f"{table}: column types changed: {'; '.join(retyped)}")
    new = [f.name for f in given if f.name not in types]
    missing = [n for n in types if n not in given.names]
    if (new or missing) and policy == "reject":
        raise DataError(
            f"{table}: columns changed (new: {new or 'none'}, missing: {missing or 'none'}); on_schema_change is reject"
        )
    return bool(new or missing)


def check_storable(table: str, schema: pa.Schema) -> None:
    """Raise DataError if the lake keeps no such type."""
    wrong = [f"{f.name}: {f.type}" for f in schema if _is_foreign(f.type)]
    if wrong:
        raise DataError(f"{table}: Delta keeps no such type: {'; '.join(wrong)}; give it as a number or as text")


def _is_foreign(kind: pa.DataType) -> bool:
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return (
        pa.types.is_duration(kind)
        or pa.types.is_time(kind)
        or pa.types.is_float16(kind)
        or pa.types.is_interval(kind)
        or isinstance(kind, pa.BaseExtensionType)
        or any(map(_is_foreign, inner))
    )


def storable(rows: pa.Table | pa.RecordBatchReader) -> pa.Table | pa.RecordBatchReader:
    """Return the rows in the types that Delta keeps; a cast that would lose something is Arrow's error."""
    schema = pa.schema([pa.field(f.name, _stored(f.type)) for f in rows.schema])
    if schema.equals(rows.schema):
        return rows
    return rows.cast(schema)


def _stored(kind: pa.DataType) -> pa.DataType:
    """Return the type that Delta keeps for an Arrow type, so that a round trip compares equal."""
    if pa.types.is_dictionary(kind):
        return _stored(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC" if kind.tz else None)
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_unsigned_integer(kind):
        # Delta has no unsigned types; a value that does not fit is Arrow's error.
        return {8: pa.int16(), 16: pa.int32()}.get(kind.bit_width, pa.int64())
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_stored(kind.value_type))
    return kind

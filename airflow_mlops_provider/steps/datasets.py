"""Read any dataset reference: a lake table, a Parquet path, or a table behind a connection."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.database import query_tables
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.sql import identifier, literal

__all__ = ["dataset_view", "within"]


def dataset_view(con: duckdb.DuckDBPyConnection, name: str, ref: DatasetRef, lake: Lake, context: StepContext) -> None:
    """Make the referenced rows readable as `name` in `con`. Raises DataError if there is no such dataset."""
    if ref.kind == "delta":
        version = int(ref.version) if ref.version is not None else None
        if not lake.view(con, name, ref.name, version):
            raise DataError(f"the lake {lake.root} has no table {ref.name!r}")
    elif ref.kind == "parquet":
        _parquet(con, name, ref.name, lake)
    else:
        con.register(name, _sql(ref, context))


def within(bundle: str, ref: DatasetRef) -> DatasetRef:
    """Return a reference that a person wrote with its Parquet path below the bundle, where it is relative."""
    if ref.kind != "parquet" or "://" in ref.name:
        return ref
    return ref.model_copy(update={"name": str(Path(bundle) / ref.name)})


def _parquet(con: duckdb.DuckDBPyConnection, name: str, path: str, lake: Lake) -> None:
    try:
        if "://" in path:
            import pyarrow.dataset as ds

            filesystem, target = lake.filesystem(path)
            con.register(name, ds.dataset(target, filesystem=filesystem, format="parquet"))
        else:
            con.execute(f"create or replace view {identifier(name)} as select * from read_parquet({literal(path)})")
    except (duckdb.IOException, FileNotFoundError) as exc:
        raise DataError(f"no Parquet file at {path!r}") from exc
    except (duckdb.InvalidInputException, pa.ArrowInvalid) as exc:
        raise DataError(f"{path!r} is not Parquet: {exc}") from exc


def _sql(ref: DatasetRef, context: StepContext) -> pa.Table:
    """Return a table's or a query's rows; a name without white space is a table, and is quoted."""
    import sqlalchemy as sa

    if not ref.conn_id:
        raise DataError(f"dataset {ref.name!r} of kind sql needs conn_id")
    is_query = any(c.isspace() for c in ref.name)
    schema, _, table = ref.name.rpartition(".")
    whole = sa.select(sa.text("*")).select_from(sa.table(table, schema=schema or None))
    parts = list(query_tables(f"dataset {ref.name!r}", ref.name if is_query else whole, ref.conn_id, context))
    return pa.concat_tables(parts, promote_options="permissive")

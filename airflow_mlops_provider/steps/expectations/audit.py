"""One dataset under audit: its rows in DuckDB, the scan's findings, and the good and the failing rows as streams."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from airflow_mlops_provider.contracts.base import Batch, DatasetRef
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.datasets import dataset_view
from airflow_mlops_provider.steps.expectations.base import UniqueExpectation
from airflow_mlops_provider.steps.expectations.rows import CompoundUnique, ValuesUnique
from airflow_mlops_provider.steps.expectations.scan import FAILED, ROW_NUMBER, Scan, scan
from airflow_mlops_provider.steps.expectations.suite import Expectation, Suite
from airflow_mlops_provider.steps.lake import BATCH_COLUMN, Lake
from airflow_mlops_provider.steps.sql import identifier, literal

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

__all__ = ["QUARANTINE_COLUMNS", "Audit", "audit"]

QUARANTINE_COLUMNS = ("_reasons", "_suite_version", "_first_seen", "_run_key", "_row_key")
_MEMORY = "1GB"
_RAW = "_raw_rows"

Stream = Callable[[], pa.RecordBatchReader]


@dataclass(frozen=True)
class Audit:
    """A scanned dataset, its connection still open. `fingerprint` names what was decided on: rows, suite, lookups."""

    con: duckdb.DuckDBPyConnection
    found: Scan
    suite_version: str
    unique_key: tuple[str, ...]
    fingerprint: str
    columns: tuple[str, ...]

    def good(self, batch: Batch) -> Stream:
        """Return the rows that stay, in their order, each time anew."""
        where = f"where {ROW_NUMBER} not in (select {ROW_NUMBER} from {FAILED})" if self.found.quarantined else ""
        return self._stream(f"select {self._selected(batch)} from {_RAW} {where}")

    def failing(self, batch: Batch, run_key: str) -> Stream:
        """Return the failing rows with their reasons and the columns of `QUARANTINE_COLUMNS`."""
        seen = datetime.now(UTC).isoformat()
        return self._stream(
            f"select {self._selected(batch)}, _reasons, {literal(self.suite_version)} as _suite_version, "
            f"{literal(seen)}::timestamptz as _first_seen, {literal(run_key)} as _run_key, "
            f"{self._row_key()} as _row_key from {_RAW} join {FAILED} using ({ROW_NUMBER}) order by {ROW_NUMBER}"
        )

    def schema(self, batch: Batch) -> pa.Schema:
        """Return the columns and types that would be published."""
        return self._stream(f"select {self._selected(batch)} from {_RAW} limit 0")().schema

    def _selected(self, batch: Batch) -> str:
        names = [f"{_RAW}.{identifier(name)}" for name in self.columns]
        if BATCH_COLUMN not in self.columns:
            names.append(f"{literal(batch.id)} as {identifier(BATCH_COLUMN)}")
        return ", ".join(names)

    def _row_key(self) -> str:
        """Return the key's values, or where there is none a hash of the whole row: the same in every try."""
        known = [name for name in self.unique_key if name in self.columns]
        parts = ", ".join(
            f"coalesce({_RAW}.{identifier(name)}::varchar, 'null')" for name in (known or sorted(self.columns))
        )
        return f"concat_ws('|', {parts})" if known else f"md5(concat_ws('|', {parts}))"

    def _stream(self, query: str) -> Stream:
        # One reader at a time: a second one on a connection ends the first, and a cursor sees no temporary table.
        return lambda: self.con.sql(query).to_arrow_reader(65_536)


@contextmanager
def audit(
    ref: DatasetRef, suite: Suite | None, unique_key: tuple[str, ...], lake: Lake, context: StepContext
) -> Iterator[Audit]:
    """Scan the rows of `ref` and yield the findings while its connection is open.

    `unique_key` counts as a critical claim of its own. Raises DataError if there are no such rows, or a table
    that keys are looked up in does not exist.
    """
    import ibis

    stated = suite.expectations if suite else ()
    claims = (*stated, *_unique(unique_key, stated))
    with (
        tempfile.TemporaryDirectory() as spill,
        duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": spill}) as con,
    ):
        con.execute("set TimeZone = 'UTC'")
        rows = _rows(con, ref, lake, context)
        versions = {name: _lookup(con, name, lake) for name in sorted({n for c in claims for n in c.kwargs.lookups()})}
        backend: Backend = ibis.duckdb.from_connection(con)
        table: ir.Table = backend.table(_RAW)
        lookups = {name: backend.table(_lookup_name(name)) for name in versions}
        found = scan(backend, table, claims, lookups)
        version = suite.version if suite else ""
        decided = "/".join([rows, version, ",".join(unique_key), *(f"{n}@{v}" for n, v in versions.items())])
        yield Audit(
            con=con,
            found=found,
            suite_version=version,
            unique_key=unique_key,
            fingerprint=hashlib.sha256(decided.encode()).hexdigest()[:16],
            columns=tuple(name for name in table.columns if name != ROW_NUMBER),
        )


def _unique(key: tuple[str, ...], stated: tuple[Expectation, ...]) -> list[Expectation]:
    """Return the claim that the key is unique, unless the suite makes it already."""
    same = (c for c in stated if isinstance(c.kwargs, UniqueExpectation) and c.severity == "critical")
    if not key or any(set(c.kwargs.columns()) == set(key) for c in same):
        return []
    kwargs = ValuesUnique(column=key[0]) if len(key) == 1 else CompoundUnique(column_list=list(key))
    return [Expectation("unique_key", kwargs, "critical", f"duplicate of unique_key ({', '.join(key)})")]


def _rows(con: duckdb.DuckDBPyConnection, ref: DatasetRef, lake: Lake, context: StepContext) -> str:
    """Make the rows readable, numbered in their order; return a fingerprint of them."""
    if ref.kind == "parquet":
        try:
            with lake.source(ref.name) as file:
                print_ = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise DataError(
                f"no Parquet file at {ref.name!r}; a batch is staged there by ingest: run it first"
            ) from None
    else:
        print_ = f"{ref.kind}/{ref.name}/{ref.version}"
    if ref.kind == "parquet" and "://" not in ref.name:
        source = f"read_parquet({literal(ref.name)}, file_row_number=true, hive_partitioning=false)"
        query = f"select * exclude (file_row_number), file_row_number as {ROW_NUMBER} from {source}"
    else:
        dataset_view(con, "_unnumbered_rows", ref, lake, context)
        query = f"select *, row_number() over () as {ROW_NUMBER} from _unnumbered_rows"
    con.execute(f"create view {_RAW} as {query}")
    return print_


def _lookup(con: duckdb.DuckDBPyConnection, name: str, lake: Lake) -> int:
    """Make a lake table readable at its newest version, and return that version."""
    version = lake.version(name)
    if version is None or not lake.view(con, _lookup_name(name), name, version):
        raise DataError(
            f"the suite looks keys up in {name!r}, and the lake {lake.root} has no such table: "
            f"ingest it first, as a reference table"
        )
    return version


def _lookup_name(name: str) -> str:
    return f"_lookup_{name}"

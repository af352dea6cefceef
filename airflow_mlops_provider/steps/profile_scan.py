"""The queries that a profile asks of one relation, column after column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import profile_queries as queries
from airflow_mlops_provider.steps.sql import identifier, literal

__all__ = ["NEW", "REST", "Cells", "Scan"]

# Buckets beside the levels: values past `max_levels` of the reference, and values that it never had.
REST = "<rest>"
NEW = "<new>"

# Quantiles of more rows are taken from a sample by hash: an edge is then off by about 0.1 % of the rows,
# the same rows are taken in whatever order or file they come, and memory holds no more than these.
_EDGE_ROWS = 200_000

# So many values are read once and kept (400 MB as numbers); of more, each column is read by itself.
_KEPT_VALUES = 5_000_000
_KEPT, _SAMPLE = "_profile_rows", "_profile_sample"

# {(day, or None without one; bin or level, or None for null): (rows, sum of values)}
Cells = Mapping[tuple[date | None, Any], tuple[int, float]]


class Scan:
    """The queries over one relation, each of one column."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        relation: str,
        columns: Iterable[str],
        timestamp: str | None,
        timezone: str,
    ) -> None:
        self._con, self._relation, self._timestamp = con, relation, timestamp
        self._schema = con.sql(f"select * from {identifier(relation)} limit 0").to_arrow_table().schema
        self.names = frozenset(self._schema.names)
        self._day = "null::date" if timestamp is None else self._local_day(timestamp, timezone)
        self._columns = {name: f"c{i}" for i, name in enumerate(dict.fromkeys(columns)) if name in self.names}
        self.rows = self._keep()

    def close(self) -> None:
        """Remove what was made in the connection."""
        self._con.execute(f"drop view if exists {queries.CELLS}")
        for table in (queries.KNOWN, _SAMPLE):
            self._con.execute(f"drop table if exists {table}")
        self._con.execute(f"drop {self._form} if exists {_KEPT}")

    def kind(self, name: str) -> str:
        """Return numeric, datetime or categorical. Raises DataError for a column of another type, or none."""
        kind = self._type(name)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return "numeric"
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return "datetime"
        if pa.types.is_boolean(kind) or _is_text(kind):
            return "categorical"
        raise DataError(f"{self._relation}.{name}: a column of type {kind} has no profile; leave it out or cast it")

    def figures(self, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
        """Return mean, population std, minimum and maximum of each numeric column."""
        return {name: self._run(queries.figures(), self._values(name))[0] for name in names}

    def quantiles(self, names: Sequence[str], bins: int) -> dict[str, list[float]]:
        """Return the bins - 1 inner quantiles of each column; none where it has no value."""
        if not names or bins < 2:
            return {name: [] for name in names}
        source = self._sample(names) if self.rows > _EDGE_ROWS else _KEPT
        found = {name: self._run(queries.quantiles(bins), self._values(name, source=source))[0] for name in names}
        return {name: row["quantiles"] or [] for name, row in found.items()}

    def levels(self, names: Sequence[str], most: int) -> dict[str, tuple[str, ...]]:
        """Return the most frequent levels of each column, then REST where there are more."""
        found = {}
        for name in names:
            # One more than wanted comes back, to see that there is a rest.
            levels = [row["level"] for row in self._run(queries.levels(most + 1), self._levels(name))]
            found[name] = (*levels[:most], REST) if len(levels) > most else tuple(levels)
        return found

    def numeric_cells(self, edges: Mapping[str, Sequence[float]]) -> dict[str, Cells]:
        """Count and sum the rows of each day and bin; a value on an edge falls left of it."""
        found: dict[str, Cells] = {}
        for name, inner in edges.items():
            padded = _padded(inner)
            rows = self._run(queries.bins(len(padded)), self._values(name, padded))
            found[name] = {(row["day"], row["key"]): (row["rows"], row["sum"] or 0.0) for row in rows}
        return found

    def level_cells(self, levels: Mapping[str, Sequence[str]]) -> dict[str, Cells]:
        """Count the rows of each day and level; others fall into the bucket that ends `levels`."""
        found: dict[str, Cells] = {}
        for name, given in levels.items():
            rest = given[-1] if given and given[-1] in (REST, NEW) else None
            known = list(given[:-1] if rest else given)
            self._con.execute(
                f"create or replace temp table {queries.KNOWN} as select unnest($1::varchar[]) as known", [known]
            )
            rows = self._run(queries.buckets(), self._levels(name, rest))
            found[name] = {(row["day"], row["key"]): (row["rows"], 0.0) for row in rows}
        return found

    def _keep(self) -> int:
        """Read the columns, cast and with their day, into a table; make it a view where they are too many."""
        source = f"from {identifier(self._relation)}"
        selected = ", ".join([f"{self._day} as day", *map(self._selected, self._columns)])
        most = _KEPT_VALUES // (len(self._columns) + 1)
        # With a limit, not counted before: the relation may be a view that joins.
        self._form = "table"
        self._con.execute(f"create or replace temp table {_KEPT} as select {selected} {source} limit {most + 1}")
        rows = self._count(_KEPT)
        if rows <= most:
            return rows
        self._con.execute(f"drop table {_KEPT}")
        self._form = "view"
        self._con.execute(f"create or replace temp view {_KEPT} as select {selected} {source}")
        return self._count(_KEPT)

    def _count(self, relation: str) -> int:
        return int(self._con.sql(f"select count(*) from {relation}").fetchall()[0][0])

    def _selected(self, name: str) -> str:
        column = identifier(name)
        cast = {"numeric": f"{column}::double", "datetime": f"epoch({column})", "categorical": f"{column}::varchar"}
        return f"{cast[self.kind(name)]} as {self._columns[name]}"

    def _values(self, name: str, edges: Sequence[float] = (), source: str = _KEPT) -> str:
        # As text: DuckDB reads a plain literal as a decimal, which may be off by an ulp.
        named = zip(edges, queries.edge_names(len(edges)), strict=True)
        beside = "".join(f", '{edge!r}'::double as {column}" for edge, column in named)
        return f"select day, {self._columns[name]} as value{beside} from {source}"

    def _levels(self, name: str, rest: str | None = None) -> str:
        bucket = "null" if rest is None else literal(rest)
        return f"select day, {self._columns[name]} as level, {bucket}::varchar as rest from {_KEPT}"

    def _sample(self, names: Sequence[str]) -> str:
        hashed = ", ".join(map(identifier, dict.fromkeys([*names, *filter(None, [self._timestamp])])))
        self._con.execute(
            f"create or replace temp table {_SAMPLE} as select null::date as day, "
            f"{', '.join(map(self._selected, names))} from {identifier(self._relation)} "
            f"where hash({hashed}) % {-(-self.rows // _EDGE_ROWS)} = 0"
        )
        return _SAMPLE

    def _local_day(self, timestamp: str, timezone: str) -> str:
        kind = self._type(timestamp)
        if not pa.types.is_timestamp(kind):
            raise DataError(f"{self._relation}.{timestamp}: a column of type {kind} is no timestamp; cast it")
        at = identifier(timestamp)
        return f"{at}::date" if kind.tz is None else f"timezone({literal(timezone)}, {at})::date"

    def _type(self, name: str) -> pa.DataType:
        if name not in self.names:
            raise DataError(f"{self._relation}: no column {name!r}; there are {', '.join(sorted(self.names))}")
        return self._schema.field(name).type

    def _run(self, query: str, cells: str) -> list[dict[str, Any]]:
        self._con.execute(f"create or replace temp view {queries.CELLS} as {cells}")
        rows: list[dict[str, Any]] = self._con.sql(query).to_arrow_table().to_pylist()
        return rows


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _padded(edges: Sequence[float]) -> list[float]:
    """Return the edges with infinity after them, below which all values are: columns share few compiled queries."""
    size = 2 ** len(edges).bit_length() - 1
    return [*edges, *[math.inf] * (size - len(edges))]

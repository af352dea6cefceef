"""Reference profile: each column of a table as counts and sums in bins, by day.

The statistics are Ibis expressions of one column (`profile_queries`), compiled for DuckDB and run on the caller's
connection, column after column. Memory does not grow with the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import profile_queries as queries
from airflow_mlops_provider.steps.sql import identifier, literal

__all__ = ["NEW", "REST", "build_profile", "profile_like"]

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
_Cells = Mapping[tuple[date | None, Any], tuple[int, float]]


def build_profile(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[str],
    *,
    timestamp: str | None,
    timezone: str,
    bins: int = 20,
    max_levels: int = 1000,
) -> Profile:
    """Return the profile of `columns` of a table or view of `con`.

    Numbers go into at most `bins` bins between quantiles, with a count and a sum each (infinite values and
    NaN count as nulls); a constant gets one bin for itself and one to either side. Booleans and strings keep
    their `max_levels` most frequent levels (ties by name), what is past them shares `REST`. The day of
    `timestamp` in `timezone` makes the blocks (a timestamp without a zone is taken as local time); a row
    without one is in the counts and in no block. `timestamp=None`: no blocks.

    Raises DataError if there is no row, or a column is missing or neither number, text nor boolean.
    """
    with closing(_Scan(con, relation, columns, timestamp, timezone)) as scan:
        kinds = {name: scan.kind(name) for name in columns}
        numeric = [name for name, kind in kinds.items() if kind == "numeric"]
        if scan.rows == 0:
            raise DataError(f"{relation}: no row to profile; give a reference that has rows")
        figures = scan.figures(numeric)
        edges = {n: _edges(q, figures[n]) for n, q in scan.quantiles(numeric, bins).items()}
        levels = scan.levels([name for name in columns if name not in edges], max_levels)
        return _assemble(scan, columns, figures, edges, levels)


def profile_like(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    reference: Profile,
    *,
    timestamp: str | None,
    timezone: str,
    columns: Iterable[str] = (),
) -> Profile:
    """Return the profile of a table or view of `con`, counted in the bins and levels of `reference`.

    A level that the reference never had falls into its `REST`, or into `NEW` where it knew all levels.
    A column of the reference that is not there is left out; one that turned from number to text or back, or
    that stands in `columns` and not in the reference, gets bins of its own and no blocks. Without a row all
    counts are 0. Raises DataError as `build_profile`.
    """
    with closing(_Scan(con, relation, [c.name for c in reference.columns], timestamp, timezone)) as scan:
        there = [column for column in reference.columns if column.name in scan.names]
        like = {column.name: column for column in there if scan.kind(column.name) == column.kind}
        edges = {name: c.edges for name, c in like.items() if c.kind == "numeric"}
        levels = {name: _open(c.levels) for name, c in like.items() if c.kind == "categorical"}
        profile = _assemble(scan, list(like), scan.figures(list(edges)), edges, levels)
    own = [name for name in dict.fromkeys([*(c.name for c in there), *columns]) if name not in like]
    if not own or profile.rows == 0:
        return profile
    others = build_profile(con, relation, own, timestamp=None, timezone=timezone)
    return profile.model_copy(update={"columns": profile.columns + others.columns})


def _assemble(
    scan: _Scan,
    columns: Sequence[str],
    figures: Mapping[str, Mapping[str, float | None]],
    edges: Mapping[str, Sequence[float]],
    levels: Mapping[str, Sequence[str]],
) -> Profile:
    cells = scan.numeric_cells(edges) | scan.level_cells(levels)
    days = sorted({day for found in cells.values() for day, _ in found if day is not None})
    profiles = []
    for name in columns:
        if name in edges:
            inner = edges[name]
            counted = _counted(cells[name], range(len(inner) + 1), days)
            sums = _sums(cells[name], len(inner) + 1)
            profiles.append(
                ColumnProfile(name=name, kind="numeric", edges=tuple(inner), sums=sums, **figures[name], **counted)
            )
        else:
            counted = _counted(cells[name], levels[name], days)
            profiles.append(ColumnProfile(name=name, kind="categorical", levels=tuple(levels[name]), **counted))
    ids = tuple(day.isoformat() for day in days)
    bounds = {"start": ids[0], "end": ids[-1]} if ids else {}
    return Profile(rows=scan.rows, columns=tuple(profiles), block_ids=ids, **bounds)


def _counted(cells: _Cells, keys: Iterable[Any], days: Sequence[date]) -> dict[str, Any]:
    place = {key: i for i, key in enumerate([*keys, None])}
    row = {day: i for i, day in enumerate([*days, None])}
    table = np.zeros((len(row), len(place)), dtype=np.int64)
    for (day, key), (count, _) in cells.items():
        table[row[day], place[key]] += count
    totals = table.sum(axis=0).tolist()
    return {"counts": tuple(totals[:-1]), "nulls": totals[-1], "blocks": tuple(map(tuple, table[:-1].tolist()))}


def _sums(cells: _Cells, bins: int) -> tuple[float, ...]:
    sums = [0.0] * bins
    for (_, key), (_, total) in sorted(cells.items(), key=str):
        if key is not None:
            sums[key] += total
    return tuple(sums)


def _edges(quantiles: Sequence[float], figures: Mapping[str, float | None]) -> tuple[float, ...]:
    low, high = figures["minimum"], figures["maximum"]
    if low is None or high is None:
        return ()
    if low == high:
        return (float(np.nextafter(low, -np.inf)), low)
    # An edge at the maximum would leave a last bin that the reference cannot fill.
    return tuple(sorted({edge for edge in quantiles if edge < high}))


def _open(levels: Sequence[str]) -> tuple[str, ...]:
    return tuple(levels) if levels and levels[-1] == REST else (*levels, NEW)


class _Scan:
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
        kind = self._type(name)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return "numeric"
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

    def numeric_cells(self, edges: Mapping[str, Sequence[float]]) -> dict[str, _Cells]:
        """Count and sum the rows of each day and bin; a value on an edge falls left of it."""
        found: dict[str, _Cells] = {}
        for name, inner in edges.items():
            padded = _padded(inner)
            rows = self._run(queries.bins(len(padded)), self._values(name, padded))
            found[name] = {(row["day"], row["key"]): (row["rows"], row["sum"] or 0.0) for row in rows}
        return found

    def level_cells(self, levels: Mapping[str, Sequence[str]]) -> dict[str, _Cells]:
        """Count the rows of each day and level; others fall into the bucket that ends `levels`."""
        found: dict[str, _Cells] = {}
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
        kind = "double" if self.kind(name) == "numeric" else "varchar"
        return f"{identifier(name)}::{kind} as {self._columns[name]}"

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

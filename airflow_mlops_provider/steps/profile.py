"""Reference profile: each column of a table as counts and sums in bins, by day.

Everything is an Ibis expression, compiled for DuckDB and run on the caller's connection: one scan for
the figures, one for the edges, and one a kind of column for all counts. Memory does not grow with the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import numpy as np

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.sql import identifier

__all__ = ["NEW", "REST", "build_profile", "profile_like"]

# Buckets beside the levels: values past `max_levels` of the reference, and values that it never had.
REST = "<rest>"
NEW = "<new>"

# Quantiles of more rows are taken from a sample by hash: an edge is then off by about 0.1 % of the rows,
# the same rows are taken in whatever order or file they come, and memory holds no more than these.
_EDGE_ROWS = 200_000

_FIGURES = ("mean", "std", "minimum", "maximum")
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
    scan = _Scan(con, relation, timestamp, timezone)
    kinds = {name: scan.kind(name) for name in columns}
    numeric = [name for name, kind in kinds.items() if kind == "numeric"]
    rows, figures = scan.figures(numeric)
    if rows == 0:
        raise DataError(f"{relation}: no row to profile; give a reference that has rows")
    edges = {n: _edges(q, figures[n]) for n, q in scan.quantiles(numeric, bins, rows).items()}
    levels = scan.levels([name for name in columns if name not in edges], max_levels)
    return _assemble(scan, columns, rows, figures, edges, levels)


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
    scan = _Scan(con, relation, timestamp, timezone)
    there = [column for column in reference.columns if column.name in scan.names]
    like = {column.name: column for column in there if scan.kind(column.name) == column.kind}
    edges = {name: c.edges for name, c in like.items() if c.kind == "numeric"}
    levels = {name: _open(c.levels) for name, c in like.items() if c.kind == "categorical"}
    rows, figures = scan.figures(list(edges))
    profile = _assemble(scan, list(like), rows, figures, edges, levels)
    own = [name for name in dict.fromkeys([*(c.name for c in there), *columns]) if name not in like]
    if not own or rows == 0:
        return profile
    others = build_profile(con, relation, own, timestamp=None, timezone=timezone)
    return profile.model_copy(update={"columns": profile.columns + others.columns})


def _assemble(
    scan: _Scan,
    columns: Sequence[str],
    rows: int,
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
    return Profile(rows=rows, columns=tuple(profiles), block_ids=ids, **bounds)


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
    """The queries over one relation. Each gives figures of all columns in one pass."""

    def __init__(self, con: duckdb.DuckDBPyConnection, relation: str, timestamp: str | None, timezone: str) -> None:
        import ibis

        # An unbound table: Ibis' own DuckDB backend would change the settings of the caller's connection.
        schema = con.sql(f"select * from {identifier(relation)} limit 0").to_arrow_table().schema
        self._con, self._relation, self._ibis = con, relation, ibis
        self._table = ibis.table(ibis.Schema.from_pyarrow(schema), name=relation)
        self.names = frozenset(self._table.columns)
        self._timestamp = timestamp
        self._day = ibis.null("date") if timestamp is None else self._local_day(timestamp, timezone)

    def kind(self, name: str) -> str:
        dtype = self._column(name).type()
        if dtype.is_numeric():
            return "numeric"
        if dtype.is_boolean() or dtype.is_string():
            return "categorical"
        raise DataError(f"{self._relation}.{name}: a column of type {dtype} has no profile; leave it out or cast it")

    def figures(self, names: Sequence[str]) -> tuple[int, dict[str, dict[str, float | None]]]:
        """Return the rows, and mean, population std, minimum and maximum of each numeric column."""
        wanted: dict[str, Any] = {}
        for i, name in enumerate(names):
            value = self._value(name)
            found = (value.mean(), value.std(how="pop"), value.min(), value.max())
            wanted |= {f"{figure}{i}": part for figure, part in zip(_FIGURES, found, strict=True)}
        (row,) = self._run(self._table.aggregate(rows=self._table.count(), **wanted))
        return row["rows"], {name: {f: row[f"{f}{i}"] for f in _FIGURES} for i, name in enumerate(names)}

    def quantiles(self, names: Sequence[str], bins: int, rows: int) -> dict[str, list[float]]:
        """Return the bins - 1 inner quantiles of each column; none where it has no value."""
        if not names or bins < 2:
            return {name: [] for name in names}
        table = self._table
        if rows > _EDGE_ROWS:
            hashed = [table[name].hash() for name in dict.fromkeys([*names, *filter(None, [self._timestamp])])]
            table = table.filter(self._ibis.array(hashed).hash().abs() % -(-rows // _EDGE_ROWS) == 0)
        at = [i / bins for i in range(1, bins)]
        # Ibis' own quantile interpolates, which makes edges between values that occur.
        signature = (("float64", "array<float64>"), "array<float64>")
        quantiles = self._ibis.udf.agg.builtin(_named, name="quantile_disc", signature=signature)
        (row,) = self._run(table.aggregate(**{f"q{i}": quantiles(self._value(n), at) for i, n in enumerate(names)}))
        return {name: row[f"q{i}"] or [] for i, name in enumerate(names)}

    def levels(self, names: Sequence[str], most: int) -> dict[str, tuple[str, ...]]:
        """Return the most frequent levels of each column, then REST where there are more."""
        if not names:
            return {}
        long = self._long({name: {"level": self._level(name)} for name in names})
        filled = long.filter(long.level.notnull())
        counted = filled.group_by("column", "level").aggregate(rows=filled.count())
        order = [counted.rows.desc(), counted.level]
        ranked = counted.mutate(place=self._ibis.row_number().over(group_by="column", order_by=order))
        found: dict[str, list[str]] = defaultdict(list)
        # One more than wanted comes back, to see that there is a rest.
        for row in self._run(ranked.filter(ranked.place <= most).order_by("column", "place")):
            found[names[row["column"]]].append(row["level"])
        return {n: (*found[n][:most], REST) if len(found[n]) > most else tuple(found[n]) for n in names}

    def numeric_cells(self, edges: Mapping[str, Sequence[float]]) -> dict[str, _Cells]:
        """Count and sum the rows of each day and bin; a value on an edge falls left of it."""
        values = {name: self._value(name) for name in edges}
        return self._cells({n: {"key": _bin(self._ibis, v, edges[n]), "value": v} for n, v in values.items()})

    def level_cells(self, levels: Mapping[str, Sequence[str]]) -> dict[str, _Cells]:
        """Count the rows of each day and level; others fall into the bucket that ends `levels`."""
        zero = self._ibis.literal(0.0)
        return self._cells(
            {name: {"key": self._bucketed(name, known), "value": zero} for name, known in levels.items()}
        )

    def _bucketed(self, name: str, levels: Sequence[str]) -> Any:
        level = self._level(name)
        if not levels or levels[-1] not in (REST, NEW):
            return level
        return self._ibis.ifelse(level.isnull() | level.isin(levels[:-1]), level, levels[-1])

    def _cells(self, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, _Cells]:
        if not fields:
            return {}
        names, long = list(fields), self._long(fields)
        cells: dict[str, dict[tuple[date | None, Any], tuple[int, float]]] = {name: {} for name in names}
        for row in self._run(long.group_by("day", "column", "key").aggregate(rows=long.count(), sum=long.value.sum())):
            cells[names[row["column"]]][row["day"], row["key"]] = (row["rows"], row["sum"] or 0.0)
        return dict(cells)

    def _long(self, fields: Mapping[str, Mapping[str, Any]]) -> Any:
        """One row a value: day, column (its place in `fields`), and the fields given."""
        ibis = self._ibis
        structs = [ibis.struct({"column": ibis.literal(i, "int32"), **f}) for i, f in enumerate(fields.values())]
        # Unnested a step later: in one step DuckDB computes the array anew for each of its elements.
        nested = self._table.select(day=self._day, cells=ibis.array(structs))
        nested = nested.select("day", cell=nested.cells.unnest())
        return nested.select("day", **{key: nested.cell[key] for key in nested.cell.names})

    def _local_day(self, timestamp: str, timezone: str) -> Any:
        at = self._column(timestamp)
        if not at.type().is_timestamp():
            raise DataError(f"{self._relation}.{timestamp}: a column of type {at.type()} is no timestamp; cast it")
        if at.type().timezone is not None:
            signature = (("string", at.type()), "timestamp")
            at = self._ibis.udf.scalar.builtin(_named, name="timezone", signature=signature)(timezone, at)
        return at.date()

    def _value(self, name: str) -> Any:
        value = self._column(name).cast("float64")
        return self._ibis.ifelse(value.isnan() | value.isinf(), None, value)

    def _level(self, name: str) -> Any:
        return self._column(name).cast("string")

    def _column(self, name: str) -> Any:
        if name not in self.names:
            raise DataError(f"{self._relation}: no column {name!r}; there are {', '.join(sorted(self.names))}")
        return self._table[name]

    def _run(self, expression: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (
            self._con.sql(self._ibis.to_sql(expression, dialect="duckdb")).to_arrow_table().to_pylist()
        )
        return rows


def _named(first: Any, second: Any) -> None:
    """Take two arguments: a function of DuckDB's that Ibis has no expression for."""


def _bin(ibis: Any, value: Any, edges: Sequence[float], first: int = 0) -> Any:
    """The number of edges below `value`, null for null, by halving: 5 comparisons for 20 bins."""
    if not edges:
        return ibis.ifelse(value.isnull(), None, ibis.literal(first, "int32"))
    half = len(edges) // 2
    left = _bin(ibis, value, edges[:half], first)
    # As text: DuckDB reads a plain literal as a decimal, which may be off by an ulp.
    edge = ibis.literal(repr(float(edges[half]))).cast("float64")
    return ibis.ifelse(value <= edge, left, _bin(ibis, value, edges[half + 1 :], first + half + 1))

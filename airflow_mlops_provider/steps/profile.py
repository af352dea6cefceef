"""Reference profile: each column of a table as counts and sums in bins, by day.

The statistics are Ibis expressions of one column (`profile_queries`), compiled for DuckDB and run on the caller's
connection, column after column. Memory does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Any

import duckdb
import numpy as np

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.profile_scan import NEW, REST, Cells, Scan

__all__ = ["NEW", "REST", "build_profile", "profile_like"]


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

    Numbers, and dates and timestamps as seconds since 1970, go into at most `bins` bins between quantiles, with
    a count and a sum each (infinite values and NaN count as nulls); a constant gets one bin for itself and one to
    either side. Booleans and strings keep their `max_levels` most frequent levels (ties by name), what is past
    them shares `REST`. The day of `timestamp` in `timezone` makes the blocks (a timestamp without a zone is taken
    as local time); a row without one is in the counts and in no block. `timestamp=None`: no blocks.

    Raises DataError if there is no row, or a column is missing or neither number, text, boolean, date nor timestamp.
    """
    with closing(Scan(con, relation, columns, timestamp, timezone)) as scan:
        kinds = {name: scan.kind(name) for name in columns}
        numeric = [name for name, kind in kinds.items() if kind != "categorical"]
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
    with closing(Scan(con, relation, [c.name for c in reference.columns], timestamp, timezone)) as scan:
        there = [column for column in reference.columns if column.name in scan.names]
        like = {column.name: column for column in there if scan.kind(column.name) == column.kind}
        edges = {name: c.edges for name, c in like.items() if c.kind != "categorical"}
        levels = {name: _open(c.levels) for name, c in like.items() if c.kind == "categorical"}
        profile = _assemble(scan, list(like), scan.figures(list(edges)), edges, levels)
    own = [name for name in dict.fromkeys([*(c.name for c in there), *columns]) if name not in like]
    if not own or profile.rows == 0:
        return profile
    others = build_profile(con, relation, own, timestamp=None, timezone=timezone)
    return profile.model_copy(update={"columns": profile.columns + others.columns})


def _assemble(
    scan: Scan,
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
                ColumnProfile(
                    name=name, kind=scan.kind(name), edges=tuple(inner), sums=sums, **figures[name], **counted
                )
            )
        else:
            counted = _counted(cells[name], levels[name], days)
            profiles.append(ColumnProfile(name=name, kind="categorical", levels=tuple(levels[name]), **counted))
    ids = tuple(day.isoformat() for day in days)
    bounds = {"start": ids[0], "end": ids[-1]} if ids else {}
    return Profile(rows=scan.rows, columns=tuple(profiles), block_ids=ids, **bounds)


def _counted(cells: Cells, keys: Iterable[Any], days: Sequence[date]) -> dict[str, Any]:
    place = {key: i for i, key in enumerate([*keys, None])}
    row = {day: i for i, day in enumerate([*days, None])}
    table = np.zeros((len(row), len(place)), dtype=np.int64)
    for (day, key), (count, _) in cells.items():
        table[row[day], place[key]] += count
    totals = table.sum(axis=0).tolist()
    return {"counts": tuple(totals[:-1]), "nulls": totals[-1], "blocks": tuple(map(tuple, table[:-1].tolist()))}


def _sums(cells: Cells, bins: int) -> tuple[float, ...]:
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

"""Reference profile: each column of a table as counts and sums in bins, by day.

In DuckDB all columns are counted in one pass over the rows, in batches: memory does not grow with the rows. In Spark
each column is aggregated where the rows are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

import duckdb
import numpy as np

from airflow_mlops_provider.contracts.profile import ColumnProfile, Profile
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.profile_scan import Scan
from airflow_mlops_provider.steps.profile_spark import Session, SparkScan
from airflow_mlops_provider.steps.profile_tally import NEW, REST, Tally

__all__ = ["NEW", "REST", "build_profile", "profile_like"]


def build_profile(
    con: duckdb.DuckDBPyConnection | Session,
    relation: str,
    columns: Sequence[str],
    *,
    timestamp: str | None,
    timezone: str,
    bins: int = 20,
    max_levels: int = 1000,
) -> Profile:
    """Return the profile of `columns` of a table or view of `con`: a connection of DuckDB, or a session of Spark 4.

    Numbers, and dates and timestamps as seconds since 1970, go into at most `bins` bins between quantiles, with
    a count and a sum each (infinite values and NaN count as nulls); a constant gets one bin for itself and one to
    either side. Booleans and strings keep their `max_levels` most frequent levels (ties by name), what is past
    them shares `REST`. The day of `timestamp` in `timezone` makes the blocks (a timestamp without a zone is taken
    as local time); a row without one is in the counts and in no block. `timestamp=None`: no blocks.

    Engines agree, on sums, mean and std to rounding; only the quantiles of more than 200,000 rows are those of a
    sample, which each engine takes by a hash of its own.

    Raises DataError if there is no row, or a column is missing, neither number, text, boolean, date nor timestamp, or
    too large for a standard deviation.
    """
    with closing(_scan(con, relation, timestamp, timezone)) as scan:
        numeric = [name for name in columns if scan.kind(name) != "categorical"]
        rows = scan.keep(columns)
        if rows == 0:
            raise DataError(f"{relation}: no row to profile; give a reference that has rows")
        ranges = scan.ranges(numeric)
        edges = {name: _edges(values, bins, ranges[name]) for name, values in scan.samples(numeric, rows)}
        levels = scan.levels([name for name in columns if name not in edges], max_levels)
        profile = _assemble(scan, columns, edges, levels)
    for column in profile.columns:
        if column.kind != "categorical" and column.std is None and any(column.counts):
            raise DataError(
                f"{column.name}: its values are too large for a standard deviation; leave it out or scale it"
            )
    return profile


def profile_like(
    con: duckdb.DuckDBPyConnection | Session,
    relation: str,
    reference: Profile,
    *,
    timestamp: str | None,
    timezone: str,
    columns: Iterable[str] = (),
) -> Profile:
    """Return the profile of a table or view of `con`, counted in the bins and levels of `reference`.

    Takes what `build_profile` takes; what one engine counted can be compared with a reference that another made.
    A level that the reference never had falls into its `REST`, or into `NEW` where it knew all levels.
    A column of the reference that is not there is left out; one that turned from number to text or back, or
    that stands in `columns` and not in the reference, gets bins of its own and no blocks. Without a row all
    counts are 0. Values too large for a deviation leave it out: a batch is compared by its counts. Raises DataError
    as `build_profile`.
    """
    with closing(_scan(con, relation, timestamp, timezone)) as scan:
        there = [column for column in reference.columns if column.name in scan.names]
        like = {column.name: column for column in there if scan.kind(column.name) == column.kind}
        edges = {name: c.edges for name, c in like.items() if c.kind != "categorical"}
        levels = {name: _open(c.levels) for name, c in like.items() if c.kind == "categorical"}
        profile = _assemble(scan, list(like), edges, levels)
    own = [name for name in dict.fromkeys([*(c.name for c in there), *columns]) if name not in like]
    if not own or profile.rows == 0:
        return profile
    others = build_profile(con, relation, own, timestamp=None, timezone=timezone)
    return profile.model_copy(update={"columns": profile.columns + others.columns})


def _scan(
    con: duckdb.DuckDBPyConnection | Session, relation: str, timestamp: str | None, timezone: str
) -> Scan | SparkScan:
    made = Scan if isinstance(con, duckdb.DuckDBPyConnection) else SparkScan
    return made(con, relation, timestamp, timezone)


def _assemble(
    scan: Scan | SparkScan,
    columns: Sequence[str],
    edges: Mapping[str, Sequence[float]],
    levels: Mapping[str, Sequence[str]],
) -> Profile:
    found = scan.count(edges, levels)
    ids = tuple(day.isoformat() for day in found.days)
    return Profile(
        rows=found.rows,
        columns=tuple(
            ColumnProfile(
                name=name,
                kind=scan.kind(name),
                edges=tuple(edges.get(name, ())),
                levels=tuple(levels.get(name, ())),
                **_counts(found.columns[name], len(ids)),
            )
            for name in columns
        ),
        block_ids=ids,
        start=ids[0] if ids else None,
        end=ids[-1] if ids else None,
    )


def _counts(tally: Tally, days: int) -> dict[str, Any]:
    *counts, nulls = tally.counts.sum(axis=0).tolist()
    blocks = tuple(map(tuple, tally.counts[:days].tolist()))
    return {
        "counts": tuple(counts),
        "nulls": nulls,
        "blocks": blocks,
        "sums": tuple(tally.sums),
        **{name: value for name, value in asdict(tally.figures).items() if value is not None and math.isfinite(value)},
    }


def _edges(values: np.ndarray, bins: int, bounds: tuple[float, float] | None) -> tuple[float, ...]:
    """Return the inner edges of at most `bins` bins between quantiles that are values themselves."""
    if bounds is None:
        return ()
    low, high = bounds
    if low == high:
        return (float(np.nextafter(low, -np.inf)), low)
    ordered = np.sort(values).tolist()
    quantiles = {ordered[-(-len(ordered) * i // bins) - 1] for i in range(1, bins)} if ordered else set()
    # An edge at the maximum would leave a last bin that the reference cannot fill.
    return tuple(sorted(edge for edge in quantiles if edge < high))


def _open(levels: Sequence[str]) -> tuple[str, ...]:
    return tuple(levels) if levels and levels[-1] == REST else (*levels, NEW)

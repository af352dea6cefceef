"""What a profile asks of one relation in Spark: aggregates of one column at a time, counted where the rows are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import profile_queries as queries
from airflow_mlops_provider.steps.profile_scan import EDGE_ROWS
from airflow_mlops_provider.steps.profile_tally import NEW, REST, Counted, Figures, Tally

__all__ = ["Session", "SparkScan"]

_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
_TIMES = ("timestamp", "timestamp_ntz", "date")
_TEXTS = ("string", "boolean", "varchar", "char")
_DAY = 86_400_000_000  # microseconds

Rows = list[dict[str, Any]]


class Session(Protocol):
    """What is used of a `pyspark.sql.SparkSession`, which is not installed where no Spark is."""

    catalog: Any
    table: Callable[[str], Any]
    sql: Callable[[str], Any]
    createDataFrame: Callable[..., Any]  # noqa: N815


class SparkScan:
    """The queries over one table or view of a SparkSession; its settings stay as they are."""

    def __init__(self, session: Session, relation: str, timestamp: str | None, timezone: str) -> None:
        self._session, self._relation, self._timestamp = session, relation, timestamp
        self._rows = session.table(relation)
        self._known: dict[str, Figures] = {}
        self._types: dict[str, str] = dict(self._rows.dtypes)
        self.names = frozenset(self._types)
        self._day = "cast(null as date)" if timestamp is None else self._local_day(timestamp, timezone)

    def close(self) -> None:
        """Remove what was made in the session."""
        for view in (queries.CELLS, queries.KNOWN):
            self._session.catalog.dropTempView(view)

    def kind(self, name: str) -> str:
        """Return numeric, datetime or categorical. Raises DataError for a column of another type, or none."""
        kind = self._type(name).partition("(")[0]
        for kinds, meant in ((_NUMBERS, "numeric"), (_TIMES, "datetime"), (_TEXTS, "categorical")):
            if kind in kinds:
                return meant
        raise DataError(f"{self._relation}.{name}: a column of type {kind} has no profile; leave it out or cast it")

    def keep(self, columns: Sequence[str]) -> int:  # noqa: ARG002
        """Return the number of rows; whether Spark caches them is for the caller to say."""
        return int(self._rows.count())

    def ranges(self, names: Sequence[str]) -> dict[str, tuple[float, float] | None]:
        """Return the lowest and highest finite value of each column, None where there is none."""
        found = {name: self._figures(name) for name in names}
        return {
            name: None if f.minimum is None or f.maximum is None else (f.minimum, f.maximum)
            for name, f in found.items()
        }

    def samples(self, names: Sequence[str], rows: int) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the finite values of each column, of a sample by hash where there are too many `rows`."""
        hashed = ", ".join(map(_identifier, dict.fromkeys([*names, *filter(None, [self._timestamp])])))
        for name in names:
            sample = self._rows.where(f"pmod(xxhash64({hashed}), {-(-rows // EDGE_ROWS)}) = 0")
            values = sample.selectExpr(f"{self._value(name)} as value").where("value is not null").toArrow()["value"]
            yield name, np.from_dlpack(pa.concat_arrays(values.chunks)) if values.num_chunks else np.zeros(0)

    def levels(self, names: Sequence[str], most: int) -> dict[str, tuple[str, ...]]:
        """Return the most frequent levels of each column, ties by name, then REST where there are more."""
        found = {}
        for name in names:
            rows = self._run(queries.levels(most + 1, "pyspark"), f"{self._value(name)} as level")
            levels = [row["level"] for row in rows]
            found[name] = (*levels[:most], REST) if len(levels) > most else tuple(levels)
        return found

    def count(self, edges: Mapping[str, Sequence[float]], levels: Mapping[str, Sequence[str]]) -> Counted:
        """Count and sum the rows of each day and bin, and count those of each day and level."""
        numbers = {name: self._bins(name, inner) for name, inner in edges.items()}
        texts = {name: self._buckets(name, given) for name, given in levels.items()}
        days = sorted({row["day"] for rows in (numbers | texts).values() for row in rows if row["day"] is not None})
        columns = {name: self._tally(name, rows, len(edges[name]) + 1, days) for name, rows in numbers.items()}
        columns |= {name: Tally(_counts(rows, levels[name], days)) for name, rows in texts.items()}
        return Counted(int(self._rows.count()), days, columns)

    def _tally(self, name: str, rows: Rows, bins: int, days: Sequence[date]) -> Tally:
        sums = [math.fsum(row["sum"] for row in rows if row["key"] == key) for key in range(bins)]
        return Tally(_counts(rows, range(bins), days), sums, self._figures(name))

    def _figures(self, name: str) -> Figures:
        if name not in self._known:
            (found,) = self._run(queries.figures("pyspark"), f"{self._value(name)} as value")
            self._known[name] = Figures(**found)
        return self._known[name]

    def _bins(self, name: str, edges: Sequence[float]) -> Rows:
        # Infinity after them, below which all values are: columns share few compiled queries.
        size = 2 ** len(edges).bit_length() - 1
        padded = [*edges, *[math.inf] * (size - len(edges))]
        named = zip(padded, queries.edge_names(size), strict=True)
        beside = [f"cast('{edge!r}' as double) as {column}" for edge, column in named]
        cells = [f"{self._day} as day", f"{self._value(name)} as value", *beside]
        return self._run(queries.bins(size, "pyspark"), *cells)

    def _buckets(self, name: str, levels: Sequence[str]) -> Rows:
        rest = levels[-1] if levels and levels[-1] in (REST, NEW) else None
        known = [(level,) for level in (levels[:-1] if rest else levels)]
        self._session.createDataFrame(known, "known string").createOrReplaceTempView(queries.KNOWN)
        bucket = f"cast({'null' if rest is None else _text(rest)} as string) as rest"
        return self._run(queries.buckets("pyspark"), f"{self._day} as day", f"{self._value(name)} as level", bucket)

    def _value(self, name: str) -> str:
        column, kind = _identifier(name), self._type(name)
        if self.kind(name) == "categorical":
            return f"cast({column} as string)"
        if kind == "date":
            return f"unix_date({column}) * 86400d"
        if kind == "timestamp_ntz":
            # By way of an interval: a cast to a number would go through the session's time zone.
            since = f"cast({column} - timestamp_ntz'1970-01-01 00:00:00' as interval second)"
            return f"cast(cast({since} as decimal(20, 6)) as double)"
        number = f"cast({column} as double)"
        # Spark's NaN is more than all.
        return f"if(abs({number}) < double('inf'), {number}, null)"

    def _local_day(self, timestamp: str, timezone: str) -> str:
        column, kind = _identifier(timestamp), self._type(timestamp)
        if kind == "timestamp_ntz":
            return f"cast({column} as date)"
        if kind != "timestamp":
            raise DataError(f"{self._relation}.{timestamp}: a column of type {kind} is no timestamp; cast it")
        # By the microseconds: a cast to a date would shift the local time by the session's time zone.
        local = f"unix_micros(from_utc_timestamp({column}, {_text(timezone)}))"
        return f"date_from_unix_date(cast(({local} - pmod({local}, {_DAY})) div {_DAY} as int))"

    def _type(self, name: str) -> str:
        if name not in self.names:
            raise DataError(f"{self._relation}: no column {name!r}; there are {', '.join(sorted(self.names))}")
        return self._types[name]

    def _run(self, query: str, *cells: str) -> Rows:
        self._rows.selectExpr(*cells).createOrReplaceTempView(queries.CELLS)
        return [row.asDict() for row in self._session.sql(query).collect()]


def _counts(rows: Rows, keys: Iterable[Any], days: Sequence[date]) -> np.ndarray:
    place = {key: i for i, key in enumerate([*keys, None])}
    line = {day: i for i, day in enumerate([*days, None])}
    counts = np.zeros((len(line), len(place)), np.int64)
    for row in rows:
        counts[line[row["day"]], place[row["key"]]] += row["rows"]
    return counts


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

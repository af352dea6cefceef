"""What a profile asks of one relation in DuckDB: all columns are counted in one pass of Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps.profile_tally import NEW, REST, Counted, count
from airflow_mlops_provider.steps.sql import identifier, literal

__all__ = ["EDGE_ROWS", "NEW", "REST", "Scan"]

# Quantiles of more rows are taken from a sample by hash: an edge is then off by about 0.1 % of the rows,
# the same rows are taken in whatever order or file they come, and memory holds no more than these.
EDGE_ROWS = 200_000

# So many values are read once and kept (40 MB as numbers) where several passes are made; of more, each pass reads.
_KEPT_VALUES = 5_000_000
_KEPT, _SAMPLE = "_profile_rows", "_profile_sample"

# Values of a batch: 16 MB as numbers.
_BATCH_VALUES = 2**21


class Scan:
    """The queries over one relation of a DuckDB connection."""

    def __init__(self, con: duckdb.DuckDBPyConnection, relation: str, timestamp: str | None, timezone: str) -> None:
        self._con, self._relation, self._timestamp, self._timezone = con, relation, timestamp, timezone
        self._schema = con.sql(f"select * from {identifier(relation)} limit 0").to_arrow_table().schema
        self.names = frozenset(self._schema.names)
        self._source = identifier(relation)
        self._day = "null::date" if timestamp is None else self._local_day(timestamp)

    def close(self) -> None:
        """Remove what was made in the connection."""
        for table in (_KEPT, _SAMPLE):
            self._con.execute(f"drop table if exists {table}")

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

    def keep(self, columns: Sequence[str]) -> int:
        """Return the number of rows; read the columns once for the passes to come, where they are not too many."""
        named = dict.fromkeys([*columns, *filter(None, [self._timestamp])])
        most = _KEPT_VALUES // (len(named) + 1)
        # With a limit, not counted before: the relation may be a view that joins.
        self._con.execute(
            f"create or replace temp table {_KEPT} as "
            f"select {', '.join(map(identifier, named))} from {self._source} limit {most + 1}"
        )
        rows = self._count(_KEPT)
        if rows > most:
            self._con.execute(f"drop table {_KEPT}")
            return self._count(self._source)
        self._source = _KEPT
        return rows

    def ranges(self, names: Sequence[str]) -> dict[str, tuple[float, float] | None]:
        """Return the lowest and highest finite value of each column, None where there is none."""
        if not names:
            return {}
        asked = ", ".join(
            f"{each}({value}) filter (isfinite({value}))"
            for value in map(self._value, names)
            for each in ("min", "max")
        )
        (found,) = self._con.sql(f"select {asked} from {self._source}").fetchall()
        lows, highs = found[::2], found[1::2]
        return {name: None if low is None else (low, high) for name, low, high in zip(names, lows, highs, strict=True)}

    def samples(self, names: Sequence[str], rows: int) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the finite values of each column, of a sample where there are too many `rows`."""
        source = self._source
        if rows > EDGE_ROWS and names:
            hashed = ", ".join(map(identifier, dict.fromkeys([*names, *filter(None, [self._timestamp])])))
            self._con.execute(
                f"create or replace temp table {_SAMPLE} as select {', '.join(map(identifier, names))} from {source} "
                f"where hash({hashed}) % {-(-rows // EDGE_ROWS)} = 0"
            )
            source = _SAMPLE
        for name in names:
            value = self._value(name)
            found = self._con.sql(f"select {value} from {source} where isfinite({value})").to_arrow_table()
            yield name, np.from_dlpack(found.column(0).combine_chunks())

    def levels(self, names: Sequence[str], most: int) -> dict[str, tuple[str, ...]]:
        """Return the most frequent levels of each column, ties by name, then REST where there are more."""
        found = {}
        for name in names:
            # One more than wanted comes back, to see that there is a rest.
            levels = [
                level
                for (level,) in self._con.sql(
                    f"select level from (select {self._value(name)} as level from {self._source}) "
                    f"where level is not null group by level order by count(*) desc, level limit {most + 1}"
                ).fetchall()
            ]
            found[name] = (*levels[:most], REST) if len(levels) > most else tuple(levels)
        return found

    def count(self, edges: Mapping[str, Sequence[float]], levels: Mapping[str, Sequence[str]]) -> Counted:
        """Count and sum the rows of each day and bin, and count those of each day and level, in one pass."""
        values = [f"{self._value(name)} as c{i}" for i, name in enumerate([*edges, *levels])]
        rows = self._con.sql(f"select {', '.join([f'{self._day} as day', *values])} from {self._source}")
        return count(rows.to_arrow_reader(max(2048, _BATCH_VALUES // (len(values) + 1))), edges, levels)

    def _count(self, source: str) -> int:
        return int(self._con.sql(f"select count(*) from {source}").fetchall()[0][0])

    def _value(self, name: str) -> str:
        column, kind = identifier(name), self.kind(name)
        if kind == "categorical":
            return f"{column}::varchar"
        if kind == "numeric":
            return f"{column}::double"
        # What `epoch` makes of a timestamp with a zone may be off by an ulp.
        zoned = getattr(self._type(name), "tz", None) is not None
        return f"epoch(timezone('UTC', {column}))" if zoned else f"epoch({column})"

    def _local_day(self, timestamp: str) -> str:
        kind = self._type(timestamp)
        if not pa.types.is_timestamp(kind):
            raise DataError(f"{self._relation}.{timestamp}: a column of type {kind} is no timestamp; cast it")
        at = identifier(timestamp)
        return f"{at}::date" if kind.tz is None else f"timezone({literal(self._timezone)}, {at})::date"

    def _type(self, name: str) -> pa.DataType:
        if name not in self.names:
            raise DataError(f"{self._relation}: no column {name!r}; there are {', '.join(sorted(self.names))}")
        return self._schema.field(name).type


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )

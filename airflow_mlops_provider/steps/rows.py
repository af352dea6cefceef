"""What a training function gets: labelled rows, as pandas or as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from airflow_mlops_provider.steps.sql import identifier

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PLACE", "StoredData", "TrainingData", "frame"]

# The column of a row's place: what makes every reading's order the same one.
PLACE = "#"
Seed = int | Sequence[int] | None
Part = TypeVar("Part", pa.Table, pa.RecordBatch)


class TrainingData:
    """What a user's `train(data, params)` gets. `X` has one column a feature, `y` one value a row; `len` is the rows.

    Numbers and booleans are float64 (null is NaN), all else is text (null is None). `valid` is the held-out
    part, or None.
    """

    def __init__(self, X: pd.DataFrame, y: pd.Series[Any], valid: TrainingData | None = None) -> None:  # noqa: N803
        self.X, self.y, self.valid = X, y, valid

    def __len__(self) -> int:
        return len(self.y)

    def arrow(self) -> pa.Table:
        """Return features and target (last column) as one Arrow table."""
        return pa.Table.from_batches(self.batches(max(1, len(self))), self._schema())

    def batches(self, rows: int = 65_536, *, seed: Seed = None) -> Iterator[pa.RecordBatch]:
        """Yield features and target in record batches of `rows` rows, the last one of what is left.

        In their own order, or in one drawn from `seed`: `(context.seed, epoch)` draws another one each epoch. In a
        training they are read from the lake's rows as they are asked for: while nobody asks for `X`, more rows than
        memory are no matter.
        """
        schema = self._schema()
        order = None if seed is None else np.random.default_rng(seed).permutation(len(self))
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            taken = part if order is None else order[part]
            whole = self.X.iloc[taken].assign(**{str(self.y.name): self.y.iloc[taken]})
            yield pa.RecordBatch.from_pandas(whole, schema, preserve_index=False).replace_schema_metadata()

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield `X` in parts, each as large as it is cheap to have."""
        yield self.X

    def _schema(self) -> pa.Schema:
        """Return the one schema of all batches: a part whose texts are all null does not tell that they are texts."""
        kinds = {n: pa.string() if kind.hasobject else pa.from_numpy_dtype(kind) for n, kind in self.X.dtypes.items()}
        return pa.schema({**kinds, str(self.y.name): pa.Array.from_pandas(self.y).type})


class StoredData(TrainingData):
    """Rows that lie in a relation of DuckDB, which has their `PLACE`; nothing is read before it is asked for."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        relation: str,
        features: Sequence[str],
        target: str,
        valid: TrainingData | None = None,
    ) -> None:
        self._con, self._relation, self._features, self._target = con, relation, [*features], target
        self.valid = valid

    def __repr__(self) -> str:
        return f"<{len(self):,} rows of {self._relation}>"

    def __len__(self) -> int:
        return self._count

    @cached_property
    def X(self) -> pd.DataFrame:  # noqa: N802  # a matrix's name
        """The features, read when they are asked for."""
        return frame(self._table(self._features))

    @cached_property
    def y(self) -> pd.Series[Any]:
        """The target, read when it is asked for."""
        values = self._table([self._target]).column(0).to_pandas()
        values.name = self._target
        return values

    def arrow(self) -> pa.Table:
        """Return features and target (last column) as one Arrow table."""
        return _target_last(self._table([*self._features, self._target]), self._target)

    def batches(self, rows: int = 65_536, *, seed: Seed = None) -> Iterator[pa.RecordBatch]:
        """Yield record batches as the class above does, each read when it is asked for."""
        place = identifier(PLACE)
        order = place if seed is None else f"hash({place} + {_offset(seed)}), {place}"
        # A connection of its own: several may be read in turn.
        with self._con.cursor() as cursor:
            cursor.execute("set TimeZone = 'UTC'")
            for batch in cursor.sql(self._query([*self._features, self._target], order)).to_arrow_reader(rows):
                yield _target_last(batch, self._target)

    def frames(self) -> Iterator[pd.DataFrame]:
        """Yield `X` in parts, or whole where somebody has it already."""
        if "X" in vars(self):
            yield self.X
            return
        for batch in self.batches():
            yield frame(pa.Table.from_batches([batch]).drop_columns([self._target]))

    @cached_property
    def _count(self) -> int:
        return int(self._con.sql(f"select count(*) from {identifier(self._relation)}").fetchall()[0][0])

    def _table(self, columns: Sequence[str]) -> pa.Table:
        return self._con.sql(self._query(columns, identifier(PLACE))).to_arrow_table()

    def _query(self, columns: Sequence[str], order: str) -> str:
        return f"select {', '.join(map(identifier, columns))} from {identifier(self._relation)} order by {order}"


def frame(table: pa.Table) -> pd.DataFrame:
    """Return features as pandas: numbers and booleans as float64, all else as text."""
    import pandas as pd

    plain = _plain(table)
    series = {name: plain.column(name).to_pandas() for name in plain.column_names}
    return pd.DataFrame({name: s if s.dtype == np.float64 else s.astype(object) for name, s in series.items()})


def _plain(part: Part) -> Part:
    """Return a table or batch in the two types that features have."""
    columns = [values.cast(_kind(values.type)) for values in part.columns]
    return type(part).from_arrays(columns, names=part.schema.names)


def _kind(kind: pa.DataType) -> pa.DataType:
    numbers = ("is_boolean", "is_integer", "is_floating", "is_decimal")
    return pa.float64() if any(getattr(pa.types, name)(kind) for name in numbers) else pa.string()


def _target_last(part: Part, target: str) -> Part:
    return _plain(part.drop_columns([target])).append_column(target, part.column(target))


def _offset(seed: int | Sequence[int]) -> int:
    """Return how far a seed's places are from another's: far enough to meet none of them."""
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 2)

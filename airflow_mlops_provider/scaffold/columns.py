"""What each column holds, found over all rows: its kind, its nulls, how many values, from where to where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from airflow_mlops_provider.exceptions import DataError, MissingExtraError
from airflow_mlops_provider.scaffold.csv_file import CsvFile
from airflow_mlops_provider.steps.sql import identifier, literal

if TYPE_CHECKING:
    import duckdb

__all__ = ["TABLE", "Column", "Kind", "Value", "but_empty", "columns_of", "load_csv", "load_parquet", "scratch"]

Kind = Literal["integer", "number", "boolean", "date", "timestamp", "timestamptz", "text"]
Value = bool | int | float | str | date | datetime | None

# The relation that holds the rows in their kinds.
TABLE = "rows"
_RAW = "raw"
_SAMPLE = 1000
_BLOCK_BYTES = 16 << 20
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_TIME = r"[ T]\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?"
_WHOLE = r"-?(0|[1-9]\d{0,18})"
# A number would lose the last digits of so long an id.
_LONG = r"-?\d{19,}"
# A number with a leading zero is a code, such as a postal one.
_FRACTION = r"-?((0|[1-9]\d*)(\{point}\d*)?|\{point}\d+)([eE][-+]?\d{1,3})?"
_STORED: dict[Kind, str] = {
    "integer": "bigint",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "text": "varchar",
}
# Of these Arrow's reader takes the blanks away, of the others not.
_TRIMMED = frozenset({"integer", "number"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column over all rows; `low` and `high` are of what is not null, `values` the distinct ones of those."""

    name: str
    kind: Kind
    rows: int
    nulls: int
    values: int
    low: Value
    high: Value

    @property
    def numeric(self) -> bool:
        """Whether it counts or measures."""
        return self.kind in ("integer", "number")

    @property
    def timed(self) -> bool:
        """Whether it says when."""
        return self.kind in ("date", "timestamp", "timestamptz")

    @property
    def unique(self) -> bool:
        """Whether it names each row: no value twice and no null."""
        return self.nulls == 0 and self.values == self.rows


@contextmanager
def scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in a temporary folder: more rows than memory are no matter. Raises MissingExtraError."""
    try:
        import duckdb
    except ModuleNotFoundError as exc:
        raise MissingExtraError("duckdb", "lake") from exc
    with TemporaryDirectory() as folder:
        path = str(Path(folder, "rows.duckdb"))
        with duckdb.connect(path, config={"memory_limit": "1GB"}) as con:
            con.execute("set TimeZone = 'UTC'")
            yield con


def load_csv(con: duckdb.DuckDBPyConnection, file: CsvFile) -> str:
    """Read a CSV into `TABLE`, each column in the kind that all its values have; return the decimal point."""
    try:
        from pyarrow import csv, string
    except ModuleNotFoundError as exc:
        raise MissingExtraError("pyarrow", "lake") from exc

    reader = csv.open_csv(
        file.path,
        csv.ReadOptions(block_size=_BLOCK_BYTES),
        csv.ParseOptions(delimiter=file.delimiter, newlines_in_values=True),
        csv.ConvertOptions(
            column_types=dict.fromkeys(file.columns, string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    con.register("incoming", reader)
    con.execute(f"create table {_RAW} as select * from incoming")
    con.unregister("incoming")
    point = _decimal_point(con, file)
    kinds = {name: _kind(con, name, point) for name in file.columns}
    chosen = ", ".join(f"{_as(name, kind, point)} as {identifier(name)}" for name, kind in kinds.items())
    con.execute(f"create table {TABLE} as select {chosen} from {_RAW}")
    con.execute(f"drop table {_RAW}")
    return point


def load_parquet(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make `TABLE` of a Parquet file. Raises DataError for a file that is none."""
    import duckdb

    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    try:
        con.execute(f"create view {TABLE} as select * from read_parquet({literal(str(path))})")
    except duckdb.Error as exc:
        raise DataError(f"{path} is not readable as Parquet: {exc}") from exc


def columns_of(con: duckdb.DuckDBPyConnection, relation: str = TABLE) -> tuple[Column, ...]:
    """Return the columns of a relation."""
    described = con.execute(f"describe {identifier(relation)}").fetchall()
    return tuple(_column(con, relation, name, stored) for name, stored, *_ in described)


def _column(con: duckdb.DuckDBPyConnection, relation: str, name: str, stored: str) -> Column:
    column = identifier(name)
    bounds = f"min({column}), max({column})" if _plain(stored) != "text" else "null, null"
    rows, present, values, low, high = con.execute(
        f"select count(*), count({column}), count(distinct {column}), {bounds} from {identifier(relation)}"
    ).fetchall()[0]
    return Column(name, _plain(stored), rows, rows - present, values, low, high)


def _plain(stored: str) -> Kind:
    """Return the kind of a type as DuckDB calls it."""
    name = stored.lower()
    if name.endswith("int") or name in ("integer", "uinteger"):
        return "integer"
    if name in ("float", "double") or name.startswith("decimal"):
        return "number"
    if name.startswith("timestamp"):
        return "timestamptz" if "zone" in name else "timestamp"
    return {"boolean": "boolean", "date": "date"}.get(name, "text")  # type: ignore[return-value]  # two kinds


def _patterns(point: str) -> Iterable[tuple[Kind, str]]:
    """Yield the kinds in the order in which they are tried, as Arrow's reader has it, each with what it looks like."""
    yield "integer", _WHOLE
    yield "boolean", "true|True|TRUE|false|False|FALSE"
    yield "date", _DAY
    yield "timestamp", f"{_DAY}({_TIME})?"
    yield "timestamptz", f"{_DAY}{_TIME}(Z|[+-]\\d{{2}}:?\\d{{2}})"
    yield "number", _FRACTION.replace("{point}", point)


def but_empty(con: duckdb.DuckDBPyConnection, name: str) -> Kind:
    """Return the kind that a text of `TABLE` would have if its quoted empty fields were null."""
    column = identifier(name)
    filled = f"(select nullif({column}, '') as {column} from {TABLE})"
    kinds = (_kind(con, name, point, filled) for point in (".", ","))
    return next((kind for kind in kinds if kind != "text"), "text")


def _kind(con: duckdb.DuckDBPyConnection, name: str, point: str, source: str = _RAW) -> Kind:
    """Return the first kind that every value has; a column without any value is text."""
    column = identifier(name)
    sample = f"(select {column} from {source} where {column} is not null limit {_SAMPLE})"
    if not con.execute(f"select count(*) from {sample}").fetchall()[0][0]:
        return "text"
    for kind, pattern in _patterns(point):
        broken = f"where {column} is not null and not coalesce(({_fits(name, kind, pattern, point)}), false) limit 1"
        if all(not con.execute(f"select 1 from {rows} {broken}").fetchall() for rows in (sample, source)):
            return kind
    return "text"


def _fits(name: str, kind: Kind, pattern: str, point: str) -> str:
    text = _text(name, kind, point)
    looks = f"regexp_full_match({_trimmed(name, kind)}, {literal(pattern)})"
    # The 30th of February looks like a day, and 1e400 like a number.
    value = f"try_cast({text} as {_STORED[kind]})"
    if kind == "number":
        return f"{looks} and isfinite({value}) and not regexp_full_match({text}, {literal(_LONG)})"
    return f"{looks} and {value} is not null"


def _as(name: str, kind: Kind, point: str) -> str:
    return identifier(name) if kind == "text" else f"{_text(name, kind, point)}::{_STORED[kind]}"


def _trimmed(name: str, kind: Kind) -> str:
    return f"trim({identifier(name)})" if kind in _TRIMMED else identifier(name)


def _text(name: str, kind: Kind, point: str) -> str:
    text = _trimmed(name, kind)
    return f"replace({text}, ',', '.')" if kind == "number" and point == "," else text


def _decimal_point(con: duckdb.DuckDBPyConnection, file: CsvFile) -> str:
    """Return the decimal point of most columns of numbers; a file with commas between its fields has points."""
    if file.delimiter == ",":
        return "."
    found = {point: sum(_fractions(con, name, point) for name in file.columns) for point in (".", ",")}
    return "," if found[","] > found["."] else "."


def _fractions(con: duckdb.DuckDBPyConnection, name: str, point: str) -> bool:
    column = identifier(name)
    looks = f"regexp_full_match(trim({column}), {literal(_FRACTION.replace('{point}', point))})"
    total, fitting, broken = con.execute(
        f"select count(*), count_if({looks}), count_if({looks} and contains({column}, '{point}')) "
        f"from (select {column} from {_RAW} where {column} is not null limit {_SAMPLE})"
    ).fetchall()[0]
    return bool(total and fitting == total and broken)

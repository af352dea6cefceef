"""A CSV file as it lies there: its delimiter, its columns, its records with the text that they were read from."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from airflow_mlops_provider.exceptions import DataError

__all__ = ["SIGNS", "CsvFile", "Record", "csv_file"]

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_RECORDS = 200
_HEAD_BYTES = 8192
# What a file that is no CSV begins with, and what to do about it.
_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another zip file: save the sheet as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save the sheet as 'CSV UTF-8'",
    b"PAR1": "a Parquet file: write it as CSV, such as with pandas' to_csv(index=False)",
    b"\x1f\x8b": "compressed: unpack it first, such as with gunzip",
    b"\xff\xfe": "UTF-16: convert it, iconv -f UTF-16 -t UTF-8 FILE > NEW.csv",
    b"\xfe\xff": "UTF-16: convert it, iconv -f UTF-16 -t UTF-8 FILE > NEW.csv",
}
# What a pipeline file takes for a parameter or a template.
SIGNS = ("${", "{{", "{%", "{#")
# The columns of the steps and of this package, which are named here so that templates need no lake.
_RESERVED = frozenset({"_batch", "#", "#y", "#a", "#b", "prediction"})
_MOST_COLUMNS = 2000


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its fields, the text that holds them, line end included, and the line where that ends."""

    fields: list[str]
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file whose every record has as many fields as its header; `rows` does not count the header."""

    path: Path
    delimiter: str
    columns: tuple[str, ...]
    rows: int

    def records(self) -> Iterator[Record]:
        """Yield the records below the header, one at a time."""
        return islice(_records(self.path, self.delimiter), 1, None)

    def header(self) -> str:
        """Return the header as it stands in the file, line end included."""
        return next(_records(self.path, self.delimiter)).text


def csv_file(path: Path) -> CsvFile:
    """Return what `path` holds, read through once and never whole.

    Raises DataError, which names the line, for what is no CSV in UTF-8 with a header and one length of record.
    """
    _check_kind(path)
    delimiter = _delimiter(path)
    records = _records(path, delimiter)
    header = next(records, None)
    if header is None:
        raise DataError(f"{path} is empty")
    _check_columns(path, header.fields)
    rows = 0
    for record in records:
        if len(record.fields) != len(header.fields):
            raise DataError(
                f"{path}, line {record.line}: {len(record.fields)} fields, the header has {len(header.fields)}: "
                f"{record.text.strip()[:80]!r}"
            )
        rows += 1
    if not rows:
        raise DataError(f"{path} has a header and no row below it")
    return CsvFile(path, delimiter, tuple(header.fields), rows)


def _check_kind(path: Path) -> None:
    if not path.exists():
        raise DataError(f"no file {str(path)!r}")
    if not path.is_file():
        raise DataError(f"{path} is no file")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip():
        raise DataError(f"{path} is empty")
    for begin, what in _KINDS.items():
        if head.startswith(begin):
            raise DataError(f"{path} is {what}")
    if re.match(rb"(\xef\xbb\xbf)?sep=.\r?\n", head, re.IGNORECASE):
        raise DataError(f"{path}: the first line is Excel's 'sep=': remove it, so that the header comes first")
    if b"\0" in head:
        raise DataError(f"{path} is a binary file, no CSV")


def _records(path: Path, delimiter: str) -> Iterator[Record]:
    taken: list[str] = []
    with path.open(encoding="utf-8-sig", newline="") as file:

        def lines() -> Iterator[str]:
            for line in file:
                taken.append(line)
                yield line

        reader = csv.reader(lines(), delimiter=delimiter, strict=True)
        while True:
            try:
                fields = next(reader, None)
            except csv.Error as exc:
                raise DataError(f"{path}, line {reader.line_num}: {exc}") from exc
            except UnicodeDecodeError as exc:
                raise DataError(_not_utf8(path, exc)) from exc
            if fields is None:
                return
            text = "".join(taken)
            taken.clear()
            if "\0" in text:
                raise DataError(f"{path}, line {reader.line_num}: a NUL byte, no CSV")
            if fields:
                yield Record(fields, text if text.endswith(("\n", "\r")) else f"{text}\n", reader.line_num)


def _not_utf8(path: Path, exc: UnicodeDecodeError) -> str:
    line = 1
    with path.open("rb") as file:
        for raw in file:
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as found:
                exc = found
                break
            line += 1
    byte = exc.object[exc.start]
    return (
        f"{path}, line {line}: byte 0x{byte:02X} is not UTF-8; convert the file, from Excel's encoding such as with "
        f"iconv -f WINDOWS-1252 -t UTF-8 {shlex.quote(str(path))} > "
        f"{shlex.quote(str(path.with_suffix('')) + '_utf8.csv')}"
    )


def _delimiter(path: Path) -> str:
    """Return the delimiter that gives the first records one number of fields, the largest there is."""
    fields: dict[str, int] = {}
    for delimiter in _DELIMITERS:
        try:
            counts = {len(record.fields) for record in islice(_records(path, delimiter), _SAMPLE_RECORDS)}
        except DataError:
            if delimiter == _DELIMITERS[-1] and not fields:
                raise
            continue
        fields[delimiter] = max(counts) if len(counts) == 1 else 0
    best = max(fields, key=lambda delimiter: fields[delimiter])
    if fields[best] > 1:
        return best
    # Ragged by any delimiter: the one that the header has most of, so that the line can be named.
    head = next(_records(path, "\0"), Record([""], "", 1)).text
    best = max(_DELIMITERS, key=head.count)
    if best not in head:
        raise DataError(f"{path} has one column: is a field ended by none of , ; tab |?")
    return best


def _check_columns(path: Path, names: list[str]) -> None:
    if len(names) > _MOST_COLUMNS:
        raise DataError(f"{path} has {len(names):,} columns: at most {_MOST_COLUMNS:,} can be looked at")
    empty = [str(place) for place, name in enumerate(names, 1) if not name.strip()]
    if empty:
        raise DataError(
            f"{path}: column {', '.join(empty)} has no name: give it one in the first line, or leave the column out "
            "(pandas: to_csv(index=False))"
        )
    lower = [name.lower() for name in names]
    twice = sorted({name for name in names if lower.count(name.lower()) > 1})
    if twice:
        raise DataError(f"{path}: columns {', '.join(map(repr, twice))} have one name; upper and lower case are one")
    for name in names:
        if name.lower() in _RESERVED:
            raise DataError(f"{path}: the column name {name!r} is this package's own: give the column another")
        if not name.isprintable() or any(sign in name for sign in SIGNS):
            raise DataError(f"{path}: the column name {name!r} has characters that a pipeline file cannot hold")

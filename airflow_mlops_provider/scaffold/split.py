"""Deal a CSV file's records to one file a batch: their lines as they are, one record in memory at a time."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.scaffold.csv_file import CsvFile, Record
from airflow_mlops_provider.scaffold.key import ROW_ID
from airflow_mlops_provider.scaffold.schedule import SHARE, Schedule

__all__ = ["Split", "split"]

# A share of the hash's range: 8 bytes.
_RANGE = 1 << 64


@dataclass(frozen=True, slots=True)
class Split:
    """How many rows each batch has, in order, and how many rows have no time and so no batch."""

    rows: tuple[int, ...]
    timeless: int


def split(file: CsvFile, schedule: Schedule, key: Sequence[str], folder: Path) -> Split:
    """Write `folder/<batch>.csv` for every batch, each with the header; without a key each row gets its number.

    With a time a row goes where its moment lies (one without a zone counts as UTC), else by a hash of its key.
    """
    place = _by_time(file, schedule) if schedule.by else _by_hash(file, key)
    rows, timeless = [0] * len(schedule.batches), 0
    numbered = not key
    with ExitStack() as stack:
        files = [
            stack.enter_context((folder / f"{batch.id}.csv").open("w", encoding="utf-8", newline=""))
            for batch in schedule.batches
        ]
        for target in files:
            target.write(f"{ROW_ID}{file.delimiter}{file.header()}" if numbered else file.header())
        for number, record in enumerate(file.records(), 1):
            where = place(record, number)
            if where is None:
                timeless += 1
                continue
            files[where].write(f"{number}{file.delimiter}{record.text}" if numbered else record.text)
            rows[where] += 1
    return Split(tuple(rows), timeless)


def _by_time(file: CsvFile, schedule: Schedule) -> Callable[[Record, int], int | None]:
    starts = [batch.start for batch in schedule.batches]
    column = file.columns.index(str(schedule.by))

    def place(record: Record, _: int) -> int | None:
        text = record.fields[column].strip()
        if text in _NULLS:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as exc:
            raise DataError(f"{file.path}, line {record.line}: {text!r} is no time") from exc
        return bisect_right(starts, moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - 1

    return place


def _by_hash(file: CsvFile, key: Sequence[str]) -> Callable[[Record, int], int]:
    columns = [file.columns.index(name) for name in key]

    def place(record: Record, number: int) -> int:
        fields = [record.fields[column] for column in columns] or [str(number)]
        digest = hashlib.blake2b("\0".join(fields).encode(), digest_size=8).digest()
        return int(int.from_bytes(digest, "big") < SHARE * _RANGE)

    return place


# What Arrow's reader takes for null.
_NULLS = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL"}
    | {"NaN", "n/a", "nan", "null"}
)

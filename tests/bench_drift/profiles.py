"""False alarms and found faults of our drift, on simulated profiles: cheap enough for many streams of a kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from airflow_mlops_provider.steps.alarms import drift
from tests.bench_drift.markdown import table
from tests.bench_drift.streams import FAULTS, Stream, faulty

__all__ = ["ROWS", "measured", "report"]

_DEPENDENT, _RESTLESS = 0.1, 0.3
_USUAL = Stream(columns=100, reference_days=90, window_days=7, windows=2, rows_a_day=1000)

ROWS: dict[str, Stream] = {
    **{
        f"{name}, {columns} columns, windows of {days} d": replace(
            _USUAL, columns=columns, window_days=days, effect=effect, heavy=heavy
        )
        for name, effect, heavy in (
            ("independent rows", 0.0, False),
            ("day effects", _DEPENDENT, False),
            ("large day effects", _RESTLESS, False),
            ("large effects of heavy tails", _RESTLESS, True),
        )
        for columns in (10, 100)
        for days in (1, 7, 30)
    },
    **{
        f"independent rows, {columns} columns, no days, {rows} rows": replace(
            _USUAL, columns=columns, reference_days=10, window_days=1, rows_a_day=rows, timed=False
        )
        for columns in (10, 100)
        for rows in (50, 200, 1000)
    },
    **{
        f"day effects, 100 columns, windows of 1 day, {rows} of its rows": replace(
            _USUAL, window_days=1, effect=_DEPENDENT, sampled=rows
        )
        for rows in (50, 200)
    },
}


def report(count: int) -> Iterator[str]:
    """Yield the table's lines."""
    yield f"{count} streams a row of two clean windows each; a fault in a column drawn, {count} each"
    kinds = ["pages per 100 windows", "named %", "drifted %", *(f"{fault}: named %" for fault in FAULTS)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = pool.map(_row, ROWS, [count] * len(ROWS))
        yield from table("streams", kinds, zip(ROWS, found, strict=True))


def _row(name: str, count: int) -> list[float]:
    return list(measured(ROWS[name], count))


def measured(stream: Stream, count: int) -> Iterator[float]:
    """Yield pages per 100 clean windows, % of columns named and drifted, and % of each fault whose column is named."""
    clean, found = Counter[str](), Counter[str]()
    for seed in range(count):
        reference, windows = stream.draw(seed)
        for window in windows:
            columns = drift(reference, window, false_alarms=0.01)
            named = sum(column.named for column in columns)
            clean += Counter(pages=named > 0, named=named, drifted=sum(column.drifted for column in columns))
        rng = np.random.default_rng([seed, 1])
        for fault in FAULTS:
            window, place = faulty(windows[0], fault, rng)
            found[fault] += drift(reference, window, false_alarms=0.01)[place].named
    windows_seen = count * stream.windows
    yield 100 * clean["pages"] / windows_seen
    for kind in ("named", "drifted"):
        yield 100 * clean[kind] / windows_seen / stream.columns
    for fault in FAULTS:
        yield 100 * found[fault] / count

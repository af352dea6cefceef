"""`python -m tests.bench_drift --n N`: false alarms and found faults of drift on N simulated streams a row."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from airflow_mlops_provider.steps.alarms import drift
from tests.bench_drift.streams import FAULTS, Stream, faulty

__all__ = ["ROWS", "main", "measured"]

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


def main() -> None:
    """Print a row a kind of stream."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_drift", description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="streams a row, of two clean windows each")
    parser.add_argument("--only", default="", help="rows whose name has this")
    given = parser.parse_args()
    kinds = ["pages per 100 windows", "named %", "drifted %", *(f"{fault}: named %" for fault in FAULTS)]
    print(f"N = {given.n}; clean: {2 * given.n} windows a row; faults: {given.n} each, in a column drawn")
    print(f"| streams | {' | '.join(kinds)} |")
    print(f"|---|{'---|' * len(kinds)}")
    for name, stream in ROWS.items():
        if given.only in name:
            found = " | ".join(f"{value:.3g}" for value in measured(stream, given.n))
            print(f"| {name} | {found} |", flush=True)


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


if __name__ == "__main__":
    main()

"""False alarms and found faults of each detector on the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.bench_drift.frames import FAULTS, FrameStream, faulty, shifted
from tests.bench_drift.markdown import table
from tests.bench_drift.peers import DETECTORS, EVIDENTLY, Detector, nannyml
from tests.environments.make_env import make_env

__all__ = ["HEADS", "compared", "report"]

NANNYML = "NannyML, univariate"
_EFFECTS = {"independent rows": 0.0, "day effects": 0.1, "large day effects": 0.3}
HEADS = ("alarms per 100 clean windows", "columns named %", *(f"{f}: found %" for f in FAULTS), "alarms, harmless %")


def compared(stream: FrameStream, detector: Detector, seeds: range) -> Iterator[float]:
    """Yield the figures of `HEADS`: faults are found where the first window is an alarm and names their columns."""
    clean, found, harmless = Counter[str](), Counter[str](), 0
    for seed in seeds:
        reference, *windows = stream.draw(seed)
        wrong, places = faulty(windows[0], seed)
        *calm, at_fault, elsewhere = detector(reference, [*windows, wrong, shifted(windows[0], seed)])
        clean += Counter(alarms=sum(one.alarm for one in calm), columns=sum(len(one.columns) for one in calm))
        found += Counter(fault for fault, name in places.items() if at_fault.alarm and name in at_fault.columns)
        harmless += elsewhere.alarm
    seen = len(seeds) * stream.windows
    yield 100 * clean["alarms"] / seen
    yield 100 * clean["columns"] / seen / stream.columns
    yield from _shares(found, len(seeds))
    yield 100 * harmless / len(seeds)


def _shares(found: Mapping[str, int], count: int) -> Iterator[float]:
    return (100 * found[fault] / count for fault in FAULTS)


def report(count: int) -> Iterator[str]:
    """Yield the tables' lines; the slow detectors see fewer streams."""
    make_env("nannyml")
    streams = dict.fromkeys(DETECTORS, count // 2) | {NANNYML: count // 10, EVIDENTLY: count // 50}
    seen = ", ".join(f"{max(n, 1)} for {name}" for name, n in streams.items())
    yield f"100 columns, references of 9,000 rows in 60 days, windows of 1,050 rows in 7; streams: {seen}"
    cells = [(effect, name, max(n, 1)) for effect in _EFFECTS.values() for name, n in streams.items()]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = pool.map(_cell, *zip(*cells, strict=True))
        for kind in _EFFECTS:
            yield ""
            yield from table(kind, HEADS, ((name, next(found)) for name in streams))


def _cell(effect: float, name: str, streams: int) -> list[float]:
    detector = nannyml(make_env("nannyml")) if name == NANNYML else DETECTORS[name]
    return list(compared(FrameStream(effect=effect), detector, range(streams)))

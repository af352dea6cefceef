"""Detectors by their defaults, each as a function of a reference and later windows of rows."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from airflow_mlops_provider.steps.alarms import drift
from airflow_mlops_provider.steps.distances import psi
from airflow_mlops_provider.steps.profile import build_profile, profile_like

__all__ = ["DETECTORS", "EVIDENTLY", "Detector", "Found", "nannyml"]

_CHILD = Path(__file__).with_name("nannyml_child.py")


class Found(NamedTuple):
    """What a detector says of a window: whether it is an alarm, and the columns that it calls drifted."""

    alarm: bool
    columns: frozenset[str]


Frames: TypeAlias = Sequence[pd.DataFrame]
Detector: TypeAlias = Callable[[pd.DataFrame, Frames], list[Found]]


def ours(reference: pd.DataFrame, windows: Frames) -> list[Found]:
    """Return what is `named`, by the shipped defaults: profiles of DuckDB's, day blocks, no column declared."""
    day: dict[str, Any] = {"timestamp": "at", "timezone": "UTC"}
    found = []
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        con.register("reference_rows", reference)
        then = build_profile(con, "reference_rows", _names(reference), **day)
        for window in windows:
            con.register("window_rows", window)
            columns = drift(then, profile_like(con, "window_rows", then, **day), false_alarms=0.01)
            found.append(_any({column.column for column in columns if column.named}))
    return found


def evidently(reference: pd.DataFrame, windows: Frames) -> list[Found]:
    """Return Evidently's DataDriftPreset: an alarm where at least half of the columns have drifted."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    found = []
    for window in windows:
        run = Report([DataDriftPreset()]).run(window[_names(window)], reference[_names(reference)])
        share, *columns = run.dict()["metrics"]
        drifted = frozenset(one["config"]["column"] for one in columns if _evidently_drifted(one))
        if len(drifted) != share["value"]["count"]:
            raise ValueError(f"Evidently counts {share['value']['count']} columns, its own values give {len(drifted)}")
        found.append(Found(share["value"]["share"] >= share["config"]["drift_share"], drifted))
    return found


def _evidently_drifted(metric: dict[str, Any]) -> bool:
    config, value = metric["config"], float(metric["value"])
    return value < config["threshold"] if "p_value" in config["method"] else value >= config["threshold"]


def nannyml(python: Path) -> Detector:
    """Return NannyML's UnivariateDriftCalculator, run by the interpreter of an environment that holds it.

    Each window is a chunk, and an alert of any column an alarm.
    """

    def detector(reference: pd.DataFrame, windows: Frames) -> list[Found]:
        with tempfile.TemporaryDirectory() as folder:
            for number, frame in enumerate([reference, *windows]):
                frame.to_pickle(Path(folder) / f"{number:03}.pickle")
            done = subprocess.run([python, "-W", "ignore", _CHILD, folder], capture_output=True, text=True, check=True)
        return [_any(set(columns)) for columns in json.loads(done.stdout.splitlines()[-1])]

    return detector


def by_chance(reference: pd.DataFrame, windows: Frames) -> list[Found]:
    """Return SciPy's tests of rows, Kolmogorov-Smirnov and chi-squared, at 5 % by Benjamini-Hochberg."""
    found = []
    for window in windows:
        p = np.array([_p_value(reference[name].dropna(), window[name].dropna()) for name in _names(reference)])
        drifted = stats.false_discovery_control(p) <= 0.05
        found.append(_any({name for name, far in zip(_names(reference), drifted, strict=True) if far}))
    return found


def _p_value(then: pd.Series, now: pd.Series) -> float:
    if pd.api.types.is_numeric_dtype(then):
        return float(stats.ks_2samp(then, now).pvalue)
    return float(stats.chi2_contingency(np.stack(_levels(then, now))).pvalue)


def _levels(then: pd.Series, now: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    both = pd.concat([then.value_counts(), now.value_counts()], axis=1).fillna(0).to_numpy().astype(np.int64)
    return both[:, 0], both[:, 1]


def by_stability(reference: pd.DataFrame, windows: Frames) -> list[Found]:
    """Return where the stability index of ten quantile bins, or of the levels, is over .25; nulls are dropped."""
    found = []
    for window in windows:
        pairs = {name: _counts(reference[name].dropna(), window[name].dropna()) for name in _names(reference)}
        found.append(_any({name for name, (then, now) in pairs.items() if psi(then, now) > 0.25}))
    return found


def _counts(then: pd.Series, now: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not pd.api.types.is_numeric_dtype(then):
        return _levels(then, now)
    edges = np.quantile(then, np.arange(1, 10) / 10)
    before, after = (np.bincount(np.searchsorted(edges, side), minlength=10) for side in (then, now))
    return before, after


def _any(columns: set[str]) -> Found:
    return Found(bool(columns), frozenset(columns))


def _names(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame if name != "at"]


EVIDENTLY = "Evidently, preset"
DETECTORS: dict[str, Detector] = {
    "ours": ours,
    "tests of rows, Benjamini-Hochberg 5 %": by_chance,
    "PSI over .25": by_stability,
    EVIDENTLY: evidently,
}
"""Those of this environment; `nannyml` needs its own."""

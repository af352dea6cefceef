"""Drift of a wide table against a stored profile, and against Evidently's preset on fewer rows."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Side, pairs, run_child
from tests.bench.row import Row, compared

__all__ = ["rows"]

NUMBERS, WORDS = 25, 5
TIMES, MOST_MB = 50, 350
MOST_OF_FLOOR, MOST_OF_PEER = 5, 1 / 80


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield the drift of `--rows` rows against a bare scan, of `--peer-rows` rows against Evidently, and its memory."""
    for name, size, other in (("drift_profile", given.rows, "floor"), ("drift_profile_peer", given.peer_rows, "peer")):
        # The goal beside Evidently is stated for a million rows, where it takes minutes.
        most = MOST_OF_FLOOR if other == "floor" else MOST_OF_PEER if size >= 1_000_000 else None
        with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
            template = Path(folder, "template")
            _make(template, size)
            sides = {side: Side(f"{__name__}:{side}", {}, str(template)) for side in ("ours", other)}
            found = pairs(sides, given.repeats)
        against = "a bare scan of every column" if other == "floor" else "Evidently's DataDriftPreset"
        note = f"{size:,} rows x {NUMBERS + WORDS} columns; {other}: {against}"
        yield compared(name, found, given.repeats, most=most, note=note)
    yield _memory(given.rows)


def _memory(size: int) -> Row:
    """Return the peak memory of the drift of `size` rows, and of `TIMES` as many: the same file over and over."""
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        template = Path(folder, "template")
        _make(template, size)
        once, often = (run_child(Side(f"{__name__}:ours", {"times": n}, str(template)), 1).mb for n in (1, TIMES))
    return Row(
        name="drift_memory",
        ours=round(often),
        unit="MB",
        n=1,
        command="make bench ONLY=drift_profile",
        goal=f"<= {MOST_MB} MB",
        met=max(once, often) <= MOST_MB,
        note=f"{TIMES * size:,} rows x {NUMBERS + WORDS} columns; {size:,} rows take {once:.0f} MB",
    )


def _make(folder: Path, size: int) -> None:
    """Write reference and current rows, half a standard deviation apart in one column, and the reference's profile."""
    import duckdb

    from airflow_mlops_provider.steps.profile import build_profile

    folder.mkdir(parents=True)
    for name, shift in (("reference", 0.0), ("current", 0.5)):
        _write(folder / f"{name}.parquet", size, shift, seed=int(shift * 2))
    with duckdb.connect() as con:
        con.execute(f"create view reference as select * from '{folder}/reference.parquet'")
        profile = build_profile(con, "reference", con.table("reference").columns, timestamp=None, timezone="UTC")
    (folder / "profile.json").write_text(profile.model_dump_json())


def _write(path: Path, size: int, shift: float, seed: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw = np.random.default_rng(seed)
    numbers = {f"x{i}": draw.normal(size=size) + (shift if i == 0 else 0.0) for i in range(NUMBERS)}
    words = {f"c{i}": pa.array(np.array(list("abcdefghij"))[draw.integers(0, 10, size)]) for i in range(WORDS)}
    pq.write_table(pa.table({**numbers, **words}), path)


def ours(place: Path, times: int = 1) -> None:
    import duckdb

    from airflow_mlops_provider.contracts.profile import Profile
    from airflow_mlops_provider.steps.alarms import drift
    from airflow_mlops_provider.steps.profile import profile_like

    reference = Profile.model_validate_json((place / "profile.json").read_bytes())
    with duckdb.connect(config={"memory_limit": "1GB"}) as con:
        con.execute(f"create view current_rows as from read_parquet({[f'{place}/current.parquet'] * times})")
        current = profile_like(con, "current_rows", reference, timestamp=None, timezone="UTC")
    drift(reference, current, false_alarms=0.01)


def floor(place: Path) -> None:
    import duckdb

    columns = [c["name"] for c in json.loads((place / "profile.json").read_text())["columns"]]
    with duckdb.connect() as con:
        con.sql(f"select {', '.join(f'max({c})' for c in columns)} from '{place}/current.parquet'").fetchall()


def peer(place: Path) -> None:
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    reference, current = (pd.read_parquet(place / f"{name}.parquet") for name in ("reference", "current"))
    Report([DataDriftPreset()]).run(current, reference).dict()

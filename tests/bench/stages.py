"""Each stage of the demo on one month of real flights, against the library's own call done right."""

from __future__ import annotations

import argparse
import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.measure import Side, pairs
from tests.bench.row import Row, compared

if TYPE_CHECKING:
    from tests.bench.world import World

__all__ = ["STAGES", "of", "ours"]

GOAL = 1.3


@dataclass(frozen=True)
class Stage:
    """Steps that are one stage: requests of all of `steps` on the lake as it was before the first."""

    steps: tuple[str, ...]
    note: str
    settle: str | None = None


STAGES = {
    "ingest_validate": Stage(
        ("ingest", "validate"),
        "January; floor: the claims as one bare DuckDB query a table, write_deltalake of good and failing rows",
    ),
    "transform": Stage(("transform",), "January; floor: dbtRunner's build in a child, nothing published"),
    "materialize": Stage(
        ("materialize",), "February; floor: DuckDB arg_max, one wide SQLite table a view", settle="tests.bench.settle"
    ),
    "train": Stage(("train",), "January, one fit; floor: ASOF joins, the same fit, log_model with requirements"),
    "score": Stage(("score",), "February; floor: ASOF joins, the model, Parquet and write_deltalake"),
    "drift": Stage(
        ("drift",), "February, no report; floor: ASOF joins, figures, and counts and sums by day and bin in SQL"
    ),
}


def of(name: str) -> Callable[[argparse.Namespace], Iterator[Row]]:
    """Return the function that measures a stage and yields two rows: warm, and a process's first call."""

    def rows(given: argparse.Namespace) -> Iterator[Row]:
        from tests.bench import prepared

        stage = STAGES[name]
        made = _world(stage.steps[-1] if given.only else "drift")
        prepared.prepare(name, made)
        template = str(made.before(stage.steps[0]))
        requests = [str(made.before(step) / "request.json") for step in stage.steps]
        sides = {
            "ours": Side(f"{__name__}:ours", {"home": str(made.home), "requests": requests}, template, stage.settle),
            "floor": Side(f"tests.bench.floors:{name}", {}, template),
        }
        found = pairs(sides, given.repeats)
        yield compared(name, found, given.repeats, most=GOAL, note=stage.note)
        note = "a process's first call, imports and all"
        yield compared(f"{name}_first_call", found, given.repeats, part="cold", most=GOAL, note=note)

    return rows


@cache
def _world(stop_after: str) -> World:
    """Return the demo's months up to a step, made once for all stages; gone when this process ends."""
    from tests.bench import world

    folder = tempfile.mkdtemp(prefix="bench-world-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return world.build(Path(folder).resolve(), stop_after)


def ours(place: Path, home: str, requests: list[str]) -> None:
    """Answer the requests as a worker does, on the copy of the lake in `place`."""
    from airflow_mlops_provider.contracts.protocol import Request
    from airflow_mlops_provider.runners.execute import execute

    for file in requests:
        text = Path(file).read_text()
        for part in ("lake", "mlflow.db"):
            text = text.replace(f"{home}/{part}", f"{place}/{part}")
        outcome = execute(Request(**json.loads(text)), lambda _message: None)
        if outcome.status != "succeeded":
            raise RuntimeError(f"{file}: {outcome.status}: {outcome.error} {outcome.trace}")

"""The governor killed around its commits and tried again: one decision a batch, one training."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.decide import DecideSpec, RetrainPolicy
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.decide import decide
from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.lake import Lake
from tests.chaos.kill import Point, die_at, end, start, stop
from tests.chaos.result import Found

__all__ = ["run"]

BATCHES = 3


def run(n: int, home: Path, draw: random.Random) -> Found:
    found = Found("decide killed around its commits, tried again: one decision, one training", n)
    every = [Point(when, commit) for when in ("before", "after") for commit in range(1, BATCHES + 1)]  # type: ignore[arg-type]
    for trial in range(n):
        for number, point in enumerate([*every, None]):
            root = home / f"{trial}-{number}"
            (root / "started").mkdir(parents=True)
            _label(Lake(f"{root}/lake"))
            process = start(_decide, str(root), point)
            found.kills += end(process) != 0 if point else stop(process, draw.uniform(0, 0.5))
            for _ in range(2):
                code = end(start(_decide, str(root), None))
                found.check(code == 0, f"killed {point}: the next try ended with {code}")
            _verify(root, point, found)
    return found


def _label(lake: Lake) -> None:
    for number in range(BATCHES):
        first = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)
        batch = Batch(id=first.date().isoformat(), start=first, end=first + timedelta(days=1))
        BatchLedger(lake, "labels").accept(batch, version=number, rows=10, run_key="chaos")


def _decide(root: str, point: Point | None) -> None:
    """Decide, and start the training that is asked for: a run's id is Airflow's key, so a second start finds it."""
    die_at(point)
    spec = DecideSpec(
        pipeline="chaos",
        lake=f"{root}/lake",
        model="delay",
        labels="labels",
        retrain=RetrainPolicy(first_after=BATCHES),
    )
    result = decide(spec, StepContext("decide", emit=lambda _message: None))
    if result.training is not None:
        Path(root, "started", result.training.id).touch()


def _verify(root: Path, point: Point | None, found: Found) -> None:
    decisions = DecisionLedger(Lake(f"{root}/lake"), "chaos").decisions()
    said = [(d.batch, d.decision) for d in decisions]
    verdicts = ["wait"] * (BATCHES - 1) + ["retrain"]
    wanted = [(f"2024-01-0{i + 1}", verdict) for i, verdict in enumerate(verdicts)]
    found.check(said == wanted, f"killed {point}: the ledger says {said}")
    started = [path.name for path in Path(root, "started").iterdir()]
    found.check(started == [d.id for d in decisions if d.decision == "retrain"], f"killed {point}: started {started}")

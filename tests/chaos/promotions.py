"""Promotion killed around its commit, and eight promoters at once: one line, one champion, and the alias follows."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import mlflow

from airflow_mlops_provider.contracts.promote import PromoteSpec
from airflow_mlops_provider.exceptions import LostRaceError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.promote import promote
from airflow_mlops_provider.steps.promotions import PromotionLedger
from tests.chaos.kill import CONTEXT, Point, die_at, end, start
from tests.chaos.result import Found

__all__ = ["run"]

MODEL, ALIAS, PROMOTERS, LOST = "delay", "champion", 8, 3


def run(n: int, home: Path, draw: random.Random) -> Found:
    found = Found("promote killed around its commit; eight promoters: one wins, alias follows", n)
    fresh = home / "fresh.db"
    mlflow.MlflowClient(f"sqlite:///{fresh}").search_experiments()
    for trial in range(n):
        root = home / str(trial)
        root.mkdir()
        shutil.copy(fresh, root / "mlflow.db")
        _register(root, versions=4 + PROMOTERS)
        _killed(root, 1, Point("before", 1), retried=True, found=found)
        _killed(root, 2, Point("after", 1), retried=True, found=found)
        # Nobody tries this one again: the next promotion has to repair the alias first.
        _killed(root, 3, Point("after", 1), retried=False, found=found)
        _killed(root, 4, None, retried=False, found=found)
        _race(root, found)
    return found


def _client(root: Path) -> Any:  # MLflow is untyped here
    return mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")


def _register(root: Path, versions: int) -> None:
    client = _client(root)
    client.create_registered_model(MODEL)
    for _ in range(versions):
        client.create_model_version(MODEL, str(root / "model"))


def _promote(root: str, version: int, expected: int, point: Point | None, together: Any = None) -> None:
    die_at(point)
    context = StepContext(
        f"promote/{version}",
        {"mlflow_default": {"conn_type": "mlflow", "host": f"sqlite:///{root}/mlflow.db"}},
        emit=lambda _message: None,
    )
    spec = PromoteSpec(
        pipeline="chaos", lake=f"{root}/lake", model=MODEL, version=str(version), expected_sequence=expected
    )
    if together is not None:
        together.wait()
    try:
        promote(spec, context)
    except LostRaceError:
        os._exit(LOST)


def _killed(root: Path, version: int, point: Point | None, *, retried: bool, found: Found) -> None:
    code = end(start(_promote, str(root), version, version - 1, point))
    found.kills += code < 0
    found.check((code < 0) == (point is not None), f"version {version}: ended with {code}, to be killed {point}")
    if retried:
        code = end(start(_promote, str(root), version, version - 1, None))
        found.check(code == 0, f"version {version}: the second try ended with {code}")
    if retried or point is None:
        _verify(root, version, found)


def _race(root: Path, found: Found) -> None:
    before = len(_ledger(root).history())
    together = CONTEXT.Barrier(PROMOTERS)
    racers = [start(_promote, str(root), before + 1 + i, before, None, together) for i in range(PROMOTERS)]
    codes = sorted(end(racer) for racer in racers)
    found.check(codes == [0, *[LOST] * (PROMOTERS - 1)], f"{PROMOTERS} promoters ended with {codes}")
    _verify(root, before + 1, found)


def _ledger(root: Path) -> PromotionLedger:
    return PromotionLedger(Lake(f"{root}/lake"), MODEL, ALIAS)


def _verify(root: Path, lines: int, found: Found) -> None:
    history = _ledger(root).history()
    sequences, kinds = [p.sequence for p in history], {p.kind for p in history}
    found.check(sequences == list(range(1, lines + 1)), f"the ledger has sequences {sequences}, not 1 to {lines}")
    found.check(kinds == {"promote"}, f"the ledger has lines of kind {sorted(kinds)}")
    alias = str(_client(root).get_model_version_by_alias(MODEL, ALIAS).version)
    found.check(alias == history[-1].version, f"alias at version {alias}, the ledger at {history[-1].version}")

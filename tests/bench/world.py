"""The demo's first two months, run once by the package's own steps; each step's request and the lake before it kept."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from airflow_mlops_provider.contracts.protocol import Outcome, Request
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.local import LocalRun
from airflow_mlops_provider.factory.plan import plan
from airflow_mlops_provider.runners import RUNNERS
from airflow_mlops_provider.runners.base import Emit
from airflow_mlops_provider.runners.in_process import InProcess
from tests.bench.measure import ROOT

__all__ = ["World", "build"]

JANUARY, FEBRUARY = "2013-01-01", "2013-02-01"


@dataclass
class World:
    """`before(step)`: a folder with the lake, `mlflow.db` and `request.json` as they were before that step."""

    home: Path
    steps: set[str] = field(default_factory=set)

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def before(self, step: str) -> Path:
        return self.home / "before" / step


@dataclass
class _Recorder:
    """A runner that keeps what is there before the steps of `wanted`."""

    world: World
    wanted: set[str] = field(default_factory=set)

    def run(self, request: Request, *, emit: Emit) -> Outcome:
        if request.step in self.wanted:
            self._keep(request)
        return InProcess().run(request, emit=emit)

    def _keep(self, request: Request) -> None:
        folder = self.world.before(request.step)
        folder.mkdir(parents=True)
        if self.world.lake.exists():
            shutil.copytree(self.world.lake, folder / "lake")
        else:
            (folder / "lake").mkdir()
        shutil.copy(self.world.home / "mlflow.db", folder)
        (folder / "request.json").write_text(json.dumps(asdict(request), default=str))
        self.world.steps.add(request.step)


def build(home: Path, stop_after: str) -> World:
    """Run January's data and training, then February's data, scoring and monitoring, until `stop_after` has run.

    What is kept: January's ingest, validate, transform and train; February's materialize (the first one of a lake
    imports Feast, the later ones do not), score and drift (which need a champion of earlier data).
    """
    import mlflow

    world = World(home)
    uri = f"sqlite:///{home}/mlflow.db"
    mlflow.MlflowClient(uri).search_experiments()
    connection = {"conn_type": "mlflow", "host": uri, "extra": {"artifact_root": str(home / "artifacts")}}
    environ = {"AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps(connection)}
    flights = plan(ROOT / "dags" / "flights.yaml", bundle=ROOT, config=FactoryConfig(lake=str(world.lake)))
    run = LocalRun(flights, ROOT, str(world.lake), lambda _task, _message: None, environ)
    recorder = _Recorder(world)
    former, RUNNERS["local"] = RUNNERS["local"], recorder
    try:
        for name, batch, wanted in (
            ("data", JANUARY, {"ingest", "validate", "transform"}),
            ("train", None, {"train"}),
            ("data", FEBRUARY, {"materialize"}),
            ("score", None, {"score"}),
            ("drift", None, {"drift"}),
        ):
            recorder.wanted = wanted
            for end in run.run(name, batch=batch, run_id=None if batch else f"bench-{name}"):
                _check(end.task_id, end.status, end.detail)
                if end.task_id in world.steps and end.task_id == stop_after:
                    return world
                if end.task_id == "train":
                    _promote(world, end.result or {}, connection)
    finally:
        RUNNERS["local"] = former
    return world


def _promote(world: World, trained: dict[str, Any], mlflow: dict[str, Any]) -> None:
    from airflow_mlops_provider.contracts.promote import PromoteSpec
    from airflow_mlops_provider.contracts.train import TrainResult
    from airflow_mlops_provider.steps.context import StepContext
    from airflow_mlops_provider.steps.promote import promote

    known = TrainResult.model_validate(trained)
    spec = PromoteSpec(
        pipeline="flights", lake=str(world.lake), model="flight_delay", model_uri=known.model_uri, trained=known
    )
    promote(spec, StepContext("bench-promote", {"mlflow_default": mlflow}, emit=lambda _message: None))


def _check(task: str, status: str, detail: Any) -> None:
    if status not in ("succeeded", "skipped"):
        raise RuntimeError(f"{task} {status}: {detail}")

"""What logging a model costs over an empty MLflow run, from a process's second run on."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.measure import Side, pairs
from tests.bench.row import Row

__all__ = ["rows"]

GOAL_S = 0.2
_RUNS = 4


def rows(given: argparse.Namespace) -> Iterator[Row]:
    """Yield CPU seconds a run: ours, an empty run (floor), `log_model` as people call it (peer)."""
    sides = {kind: Side(f"{__name__}:{kind}", {}) for kind in ("ours", "floor", "peer")}
    found = pairs(sides, given.repeats, calls=_RUNS)
    over = found["ours"].warm - found["floor"].warm
    yield Row(
        name="mlflow_log",
        **{kind: round(figure.warm, 3) for kind, figure in found.items()},
        **{f"{kind}_mb": round(figure.mb) for kind, figure in found.items()},
        ratio=round(found["ours"].warm / found["floor"].warm, 3),
        unit="CPU s a run",
        n=given.repeats,
        command="",
        goal=f"<= {GOAL_S:g} s over floor",
        met=over <= GOAL_S,
        note=f"{over:.3f} s over an empty run; peer: log_model that infers its requirements",
    )


def ours(place: Path) -> None:
    import mlflow

    from airflow_mlops_provider.steps import models

    model, example, profile, client = _ready(place)
    with mlflow.start_run():
        models.log(model, example, client=client, profile=profile, metadata={}, requirements=())


def floor(place: Path) -> None:
    import mlflow

    _ready(place)
    with mlflow.start_run():
        pass


def peer(place: Path) -> None:
    import mlflow
    from mlflow.models import infer_signature

    model, example, _, _ = _ready(place)
    with mlflow.start_run():
        signature = infer_signature(example, model.predict(example))
        mlflow.sklearn.log_model(model, name="model", signature=signature, serialization_format="cloudpickle")


_READY: dict[str, Any] = {}


def _ready(place: Path) -> Any:
    """Return model, example, profile and client, made by a process's first call, which is not counted."""
    if not _READY:
        import duckdb
        import mlflow
        import numpy as np
        import pandas as pd
        from sklearn.linear_model import LogisticRegression

        from airflow_mlops_provider.steps.profile import build_profile

        draw = np.random.default_rng(0)
        frame = pd.DataFrame(draw.normal(size=(1000, 24)), columns=[f"x{i}" for i in range(24)])
        model = LogisticRegression().fit(frame, draw.integers(0, 2, 1000))
        with duckdb.connect() as con:
            con.register("example", frame)
            profile = build_profile(con, "example", list(frame.columns), timestamp=None, timezone="UTC")
        mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
        client = mlflow.MlflowClient()
        mlflow.set_experiment(experiment_id=client.create_experiment("bench", f"{place}/artifacts"))
        _READY["all"] = (model, frame, profile, client)
    return _READY["all"]

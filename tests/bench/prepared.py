"""What floors start from, made outside the measured time: `floor.json` and frames, beside the lake before the step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bench.world import FEBRUARY, World

__all__ = ["prepare"]


def prepare(stage: str, world: World) -> None:
    """Add to the stage's template what its floor needs, and leave out of the request what is not compared."""
    if stage == "materialize":
        _feature_views(world.before("materialize"))
    if stage == "train":
        _change(world, "train", refit=False, holdout=None)
        _training_frame(world.before("train"))
    if stage == "score":
        _scoring_frame(world.before("score"), world, predictions=False)
    if stage == "drift":
        _change(world, "drift", report=False)
        _scoring_frame(world.before("drift"), world, predictions=True)


def _change(world: World, step: str, **fields: Any) -> None:
    file = world.before(step) / "request.json"
    request = json.loads(file.read_text())
    request["spec"] |= fields
    file.write_text(json.dumps(request))


def _feature_views(folder: Path) -> None:
    from airflow_mlops_provider.steps.features import load_definitions
    from airflow_mlops_provider.steps.lake import Lake

    views = load_definitions(Lake(str(folder / "lake")))["flights"].views
    (folder / "floor.json").write_text(json.dumps({"views": [view.model_dump(mode="json") for view in views]}))


def _training_frame(folder: Path) -> None:
    from airflow_mlops_provider.contracts.train import TrainSpec
    from airflow_mlops_provider.steps.lake import Lake
    from airflow_mlops_provider.steps.training_data import LabelledSet

    spec = TrainSpec.model_validate_json(json.dumps(json.loads((folder / "request.json").read_text())["spec"]))
    rows = LabelledSet(Lake(str(folder / "lake")), spec.dataset)
    data = rows.data("labelled")
    data.X.assign(**{spec.dataset.target: data.y}).to_parquet(folder / "frame.parquet")


def _scoring_frame(folder: Path, world: World, *, predictions: bool) -> None:
    """Write February's rows with their features, and with the predictions where they are made already."""
    import duckdb
    import mlflow

    from airflow_mlops_provider.contracts.score import ScoreSpec
    from airflow_mlops_provider.steps import models
    from airflow_mlops_provider.steps.batches import BatchLedger
    from airflow_mlops_provider.steps.lake import Lake
    from airflow_mlops_provider.steps.promotions import PromotionLedger
    from airflow_mlops_provider.steps.score import predictions_table, scoring_view

    given = json.loads((folder / "request.json").read_text())["spec"]
    keys = ("pipeline", "lake", "model", "dataset", "event_timestamp", "feature_service", "columns", "unique_key")
    spec = ScoreSpec.model_validate_json(json.dumps({key: given[key] for key in keys if key in given}))
    lake = Lake(str(folder / "lake"))
    (row,) = (row for row in BatchLedger(lake, spec.dataset).accepted() if row.batch.id == FEBRUARY)
    with duckdb.connect() as con:
        view = scoring_view(con, spec, lake, row, {spec.dataset: row.version or 0})
        query = f"select * from {view}"
        if predictions:
            lake.view(con, "made", predictions_table(spec.model))
            query = f"select v.*, made.prediction from {view} v join made using (flight_id)"
        con.execute(f"copy ({query}) to '{folder}/frame.parquet' (format parquet)")
    mlflow.set_tracking_uri(f"sqlite:///{world.home}/mlflow.db")
    client = mlflow.MlflowClient()
    champion = PromotionLedger(lake, spec.model).champion()
    if champion is None:
        raise RuntimeError("no champion was promoted")
    uri = models.version_uri(client, spec.model, champion.version)
    profile = models.load_profile(client, uri)
    if profile is None:
        raise RuntimeError(f"{uri} has no profile")
    facts = {"model": uri, "profile": profile.model_dump(mode="json")}
    (folder / "floor.json").write_text(json.dumps(facts))

"""What floors start from, made outside the measured time: `floor.json`, beside the lake before the step."""

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
        _training_facts(world.before("train"))
    if stage == "score":
        _scoring_facts(world.before("score"), world)
    if stage == "drift":
        _change(world, "drift", report=False)
        _scoring_facts(world.before("drift"), world)


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


def _training_facts(folder: Path) -> None:
    from airflow_mlops_provider.contracts.train import TrainSpec
    from airflow_mlops_provider.steps.lake import Lake
    from airflow_mlops_provider.steps.training_data import LabelledSet

    spec = TrainSpec.model_validate_json(json.dumps(json.loads((folder / "request.json").read_text())["spec"]))
    rows = LabelledSet(Lake(str(folder / "lake")), spec.dataset)
    x = rows.data("labelled").X
    texts = [name for name in x.columns if x[name].dtype == object]
    numbers = [name for name in x.columns if name not in texts]
    facts = {"views": _service_views(folder), "features": list(x.columns), "texts": texts, "numbers": numbers}
    (folder / "floor.json").write_text(json.dumps(facts))


def _service_views(folder: Path) -> list[dict[str, Any]]:
    """Return the views of the demo's feature service, `ttl_s` in seconds."""
    from airflow_mlops_provider.steps.features import load_service
    from airflow_mlops_provider.steps.lake import Lake

    views = load_service(Lake(str(folder / "lake")), "flight_delay_v1").views
    return [{**v.model_dump(mode="json"), "ttl_s": v.ttl.total_seconds() if v.ttl else 1e9} for v in views]


def _scoring_facts(folder: Path, world: World) -> None:
    """Write what the floors of score and drift know: the batch, the features' tables, the champion and its profile."""
    import mlflow

    from airflow_mlops_provider.steps import models
    from airflow_mlops_provider.steps.lake import Lake
    from airflow_mlops_provider.steps.promotions import PromotionLedger

    mlflow.set_tracking_uri(f"sqlite:///{world.home}/mlflow.db")
    client = mlflow.MlflowClient()
    champion = PromotionLedger(Lake(str(folder / "lake")), "flight_delay").champion()
    if champion is None:
        raise RuntimeError("no champion was promoted")
    uri = models.version_uri(client, "flight_delay", champion.version)
    profile = models.load_profile(client, uri)
    if profile is None:
        raise RuntimeError(f"{uri} has no profile")
    facts = {
        "batch": FEBRUARY,
        "views": _service_views(folder),
        "model": uri,
        "profile": profile.model_dump(),
    }
    (folder / "floor.json").write_text(json.dumps(facts))

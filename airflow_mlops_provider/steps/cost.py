"""What a training run used and cost, kept with the run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.sql import filter_value

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["costs", "record_cost", "unfinished_run"]

_SECONDS = "mlops.seconds"
_GPU_SECONDS = "mlops.gpu_seconds"
_COST = "mlops.cost"
_PEAK = "mlops.peak_memory_gib"
_MODEL = "mlops.model"
_GPU = "mlops.gpu"
_JUDGED = "mlops.judged_run"
_RUN_KEY = "mlops.run_key"
_PAGE = 1000


def record_cost(
    context: StepContext,
    run_id: str,
    *,
    model: str,
    seconds: float,
    peak_memory_bytes: int,
    gpu: Mapping[str, Any] | None = None,
) -> None:
    """Add what a pod used to a run's metrics; a run that several pods worked on has their sum.

    `gpu` says `class`, `devices` and `price`, of one device for an hour or None.
    """
    client = models.connect(context)
    before = client.get_run(run_id).data.metrics
    used = {_SECONDS: seconds}
    if gpu is not None:
        used[_GPU_SECONDS] = seconds * gpu["devices"]
        if gpu.get("price") is not None:
            used[_COST] = gpu["price"] * used[_GPU_SECONDS] / 3600
    found = {name: before.get(name, 0.0) + value for name, value in used.items()}
    found[_PEAK] = max(before.get(_PEAK, 0.0), peak_memory_bytes / 2**30)
    for name, value in found.items():
        client.log_metric(run_id, name, value)
    client.set_tag(run_id, _MODEL, model)
    if gpu is not None:
        client.set_tag(run_id, _GPU, f"{gpu['devices']} {gpu['class']}")


def unfinished_run(context: StepContext, experiment: str) -> str | None:
    """Return the run that a training with this run key was at when it was stopped, None before it has one."""
    client = models.connect(context)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    of_key = f"tags.`{_RUN_KEY}` = {filter_value(context.run_key)}"
    runs = client.search_runs([found.experiment_id], of_key, order_by=["attributes.start_time DESC"])
    # A twin that is fitted on all rows belongs to the judged one.
    return next((str(run.info.run_id) for run in runs if _JUDGED not in run.data.tags), None)


def costs(context: StepContext, model: str | None = None) -> list[dict[str, Any]]:
    """Return what each recorded training run used, the newest first, with the version that came of it.

    Each has model, version, run_id, started, gpu, gpu_seconds, seconds, peak_memory_gib and cost; what was not
    recorded is None. Raises DataError for a model of which nothing is recorded.
    """
    client = models.connect(context)
    experiments = [found.experiment_id for found in client.search_experiments()]
    asked = "" if model is None else f" and tags.`{_MODEL}` = {filter_value(model)}"
    runs = _all(client.search_runs, experiments, f"metrics.`{_SECONDS}` >= 0{asked}")
    if model is not None and not runs:
        raise DataError(f"no run of model {model!r} has its cost recorded; training in a pod records it")
    versions: dict[str, dict[str, str]] = {}
    rows = []
    for run in sorted(runs, key=lambda run: -run.info.start_time):
        name = run.data.tags.get(_MODEL, "")
        if name not in versions:
            versions[name] = _versions(client, name)
        rows.append(_row(run, name, versions[name].get(run.info.run_id)))
    return rows


def _row(run: Any, model: str, version: str | None) -> dict[str, Any]:  # MLflow's Run
    metrics = run.data.metrics
    return {
        "model": model,
        "version": version,
        "run_id": run.info.run_id,
        "started": datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
        "gpu": run.data.tags.get(_GPU),
        "gpu_seconds": metrics.get(_GPU_SECONDS),
        "seconds": metrics[_SECONDS],
        "peak_memory_gib": metrics.get(_PEAK),
        "cost": metrics.get(_COST),
    }


def _versions(client: MlflowClient, model: str) -> dict[str, str]:
    """Return versions by the run that was judged: a twin fitted on all rows came of the same pod."""
    found = _all(client.search_model_versions, f"name = {filter_value(model)}")
    return {version.tags.get(_JUDGED) or version.run_id: str(version.version) for version in found}


def _all(search: Any, *arguments: Any) -> list[Any]:  # one of MLflow's searches, which answer in pages
    found, token = [], None
    while True:
        page = search(*arguments, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found

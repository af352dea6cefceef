"""The MLflow run of a piece of work: a later try with the same run key goes on in it, it makes no second one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_mlops_provider.steps.sql import filter_value

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["MODEL_URI", "data_tags", "find_run", "fitted", "pinned", "running"]

_RUN_KEY = "mlops.run_key"
_PART = "mlops.part"
_WORK = "mlops.work"
# Set last: a run that has it needs nothing more.
MODEL_URI = "mlops.model_uri"
_UNTIL = "mlops.until"
_VERSION = "mlops.version."


def find_run(client: MlflowClient, experiment_id: str, run_key: str, part: str, work: str) -> Run | None:
    """Return the run that an earlier try made for a part of the same work, whatever became of it, or None."""
    wanted = {_RUN_KEY: run_key, _PART: part, _WORK: work}
    where = " and ".join(f"tags.`{name}` = {filter_value(value)}" for name, value in wanted.items())
    found = client.search_runs([experiment_id], where, order_by=["attributes.start_time DESC"], max_results=1)
    return found[0] if found else None


def fitted(run: Run | None) -> str | None:
    """Return the URI of the model that a finished run logged, or None."""
    if run is None or run.info.status != "FINISHED":
        return None
    tags: Mapping[str, str] = run.data.tags
    return tags.get(MODEL_URI)


def data_tags(until: str, versions: Mapping[str, int]) -> dict[str, str]:
    """Return the tags that say which data a run is made from."""
    return {_UNTIL: until, **{f"{_VERSION}{table}": str(number) for table, number in versions.items()}}


def pinned(run: Run | None) -> tuple[str | None, dict[str, int]]:
    """Return the newest batch and the lake versions that a run was begun with; a later try takes the same."""
    tags: Mapping[str, str] = {} if run is None else run.data.tags
    versions = {name.removeprefix(_VERSION): int(value) for name, value in tags.items() if name.startswith(_VERSION)}
    return tags.get(_UNTIL), versions


@contextmanager
def running(
    earlier: Run | None, experiment_id: str, name: str, *, run_key: str, part: str, work: str, tags: Mapping[str, str]
) -> Iterator[Run]:
    """Make the run active, or the earlier one again. Its tags are there as soon as it is, for a try that finds it."""
    import mlflow

    mlflow.set_experiment(experiment_id=experiment_id)
    known = {_RUN_KEY: run_key, _PART: part, _WORK: work, **tags}
    run_id = earlier.info.run_id if earlier is not None else None
    with mlflow.start_run(run_id=run_id, run_name=None if run_id else name, tags=known) as run:
        yield run

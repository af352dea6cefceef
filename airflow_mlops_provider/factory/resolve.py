"""What a pipeline file leaves open and its other sections answer: the training dataset's fields."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.factory.errors import KeyPath
from airflow_mlops_provider.factory.models import Pipeline

__all__ = ["dataset_of", "given", "known_datasets", "labels_of"]


def given(pipeline: Pipeline, *path: str | int) -> dict[str, Any]:
    """Return what the file says of a section, as JSON, by the fields' names; null is as good as absent."""
    said: Any = pipeline.said
    for part in path:
        said = said.get(part) or {}
    return {key: value for key, value in said.items() if value is not None}


def dataset_of(pipeline: Pipeline) -> dict[str, tuple[Any, KeyPath]]:
    """Return the fields of `training.dataset`, each with the path that it came from.

    `entities` falls back to the only dataset that is no reference table, `unique_key` to the key that the
    entities are ingested with. A field that nobody says is absent.
    """
    said = given(pipeline, "training", "dataset")
    fields: dict[str, tuple[Any, KeyPath]] = {key: (value, ("training", "dataset", key)) for key, value in said.items()}
    sources = pipeline.data.ingest if pipeline.data else {}
    batched = [name for name, source in sources.items() if not source.reference]
    if pipeline.training and "entities" not in fields and len(batched) == 1:
        fields["entities"] = (batched[0], ("data", "ingest", batched[0]))
    source = sources.get(fields["entities"][0]) if "entities" in fields else None
    if "unique_key" not in fields and source is not None and source.unique_key:
        fields["unique_key"] = (list(source.unique_key), ("data", "ingest", fields["entities"][0], "unique_key"))
    return fields


def labels_of(pipeline: Pipeline) -> tuple[str, KeyPath] | None:
    """Return the table that says what came true: monitoring's word, else the rows that the model is trained on."""
    performance = pipeline.monitoring.performance if pipeline.monitoring else None
    if performance is not None and performance.labels:
        return performance.labels, ("monitoring", "performance", "labels")
    return dataset_of(pipeline).get("entities")


def known_datasets(pipeline: Pipeline) -> list[str]:
    """Return the lake tables that the file's own data section makes; empty where data comes from elsewhere."""
    if pipeline.data is None or pipeline.data.from_:
        return []
    published = pipeline.data.transform.publish if pipeline.data.transform else ()
    return [*pipeline.data.ingest, *published]

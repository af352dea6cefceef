"""What a well-formed file may still get wrong: names that are not there or not allowed, sections that do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.contracts.decide import DRIFT
from airflow_mlops_provider.contracts.pod import Pod
from airflow_mlops_provider.contracts.train import ESTIMATOR_LIBRARIES
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.cron import cron_fault
from airflow_mlops_provider.factory.errors import KeyPath, did_you_mean
from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.free_rules import argument_faults, free_task_faults, free_task_places
from airflow_mlops_provider.factory.models import Data, Monitoring, Pipeline, Training
from airflow_mlops_provider.factory.resolve import dataset_of, known_datasets, labels_of
from airflow_mlops_provider.factory.secrets_rule import secret_faults
from airflow_mlops_provider.factory.trust import (
    callable_faults,
    connection_faults,
    interpreter_faults,
    path_faults,
    pod_faults,
)

__all__ = ["meaning_faults", "name_faults"]

Fault = tuple[KeyPath, str]
# How metrics begin that only a regression has.
_OF_NUMBERS = ("mae", "rmse", "r2", "neg_mean_", "neg_root_", "neg_median_")


def name_faults(pipeline: Pipeline, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    """Yield what the file names and may not, or what is not there; a schedule that is none."""
    yield from _schedules(pipeline)
    if pipeline.lake and pipeline.lake != config.lake:
        yield from _at(("lake",), path_faults(pipeline.lake, config, files=files))
    yield from _runs_on(pipeline, config)
    if pipeline.data is not None:
        yield from _ingested(pipeline.data, config, files)
        yield from _checked(pipeline.data, config, files)
        yield from _folders(pipeline.data, config, files)
    if pipeline.training is not None:
        yield from _trainer(pipeline.training, config, files)
    if pipeline.monitoring is not None and pipeline.monitoring.drift is not None:
        yield from _referred(("monitoring", "drift", "current"), pipeline.monitoring.drift.current, config, files)
    if pipeline.notify is not None:
        yield from _function(("notify", "notifier"), pipeline.notify.notifier, config, files)
        yield from argument_faults(pipeline.notify.arguments, ("notify", "arguments"), config)
    yield from free_task_faults(pipeline, config, files)


def _ingested(data: Data, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    for name, source in data.ingest.items():
        at = ("data", "ingest", name)
        yield from _function((*at, "python_callable"), source.python_callable, config, files, "{name}(batch)")
        if source.files:
            yield from _at((*at, "files"), path_faults(source.files, config, files=files))
        if source.conn_id:
            yield from _at((*at, "conn_id"), connection_faults(source.conn_id, config))


def _checked(data: Data, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    for name, checks in data.validate_.items():
        at = ("data", "validate", name)
        if checks.expectation_suite:
            faults = path_faults(checks.expectation_suite, config, files=files, kind="file")
            yield from _at((*at, "expectation_suite"), faults)
        yield from _referred((*at, "dataset"), checks.dataset, config, files)


def _referred(at: KeyPath, table: DatasetRef | None, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    if table is not None and table.conn_id:
        yield from _at((*at, "conn_id"), connection_faults(table.conn_id, config))
    if table is not None and table.kind == "sql" and not table.conn_id:
        yield at, "'conn_id' is missing: which connection leads to the table?"
    if table is not None and table.kind == "parquet":
        yield from _at((*at, "name"), path_faults(table.name, config, files=files))


def _folders(data: Data, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    for section, key in (("transform", "project_dir"), ("materialize", "feature_repo")):
        found = getattr(data, section)
        if found is not None:
            faults = path_faults(getattr(found, key), config, files=files, kind="folder")
            yield from _at(("data", section, key), faults)
    if data.transform is not None:
        yield from secret_faults(data.transform.vars, ("data", "transform", "vars"))


def _trainer(training: Training, config: FactoryConfig, files: Files) -> Iterator[Fault]:
    at = ("training", "train")
    function, estimator = training.train.python_callable, training.train.estimator
    yield from _function((*at, "python_callable"), function, config, files, "{name}(data, params)")
    if estimator and estimator.partition(".")[0] not in ESTIMATOR_LIBRARIES:
        yield from _function((*at, "estimator"), estimator, config, files)
    yield from secret_faults(training.train.parameters, (*at, "parameters"))


def _schedules(pipeline: Pipeline) -> Iterator[Fault]:
    for section in ("data", "scoring", "monitoring"):
        for key in ("schedule", "reconcile"):
            said = getattr(getattr(pipeline, section), key, None)
            if said is not None and "://" not in said and (fault := cron_fault(said)):
                yield (section, key), fault


def meaning_faults(pipeline: Pipeline) -> Iterator[Fault]:
    """Yield what does not fit together."""
    data, training = pipeline.data, pipeline.training
    if data is not None and not data.from_:
        yield from _validated(data)
    dataset = dataset_of(pipeline)
    if training is not None and "entities" not in dataset:
        yield ("training", "dataset"), "'entities' is missing: which table holds the labelled rows?"
    if training is not None:
        yield from _held_out(pipeline, training, dataset)
    yield from _tables(pipeline)
    yield from free_task_places(pipeline)
    yield from _deadlines(pipeline)
    if pipeline.monitoring is not None:
        yield from _monitored(pipeline, pipeline.monitoring, dataset)


def _deadlines(pipeline: Pipeline) -> Iterator[Fault]:
    """Yield deadlines of which nobody hears, and an event that never comes."""
    notify, sections = pipeline.notify, ("data", "training", "scoring", "monitoring")
    said = [name for name in sections if getattr(getattr(pipeline, name), "deadline", None) is not None]
    if notify is None or "missed_deadline" not in notify.on:
        for name in said:
            yield (name, "deadline"), "nobody is told: give `notify`, with missed_deadline among its events"
    elif not said and "on" in notify.model_fields_set:
        yield ("notify", "on"), "missed_deadline never comes: no section has a `deadline`"


def _held_out(pipeline: Pipeline, training: Training, dataset: dict[str, Any]) -> Iterator[Fault]:
    holdout = training.evaluate and training.evaluate.holdout
    if isinstance(holdout, timedelta) and "event_timestamp" not in dataset:
        text = "needs training.dataset.event_timestamp: which rows are the last? Or give a share of them, such as 0.2"
        yield ("training", "evaluate", "holdout"), text
    if training.evaluate and isinstance(holdout, float) and training.evaluate.refit:
        text = (
            "fits on the rows that were held out, and the next training holds the same share out: the champion would "
            "have seen them all. Remove refit, or hold out a stretch of time"
        )
        yield ("training", "evaluate", "refit"), text
    if training.train.search is not None and not holdout:
        text = "its trials are judged on as many rows before the holdout: give training.evaluate.holdout"
        yield ("training", "train", "search"), text
    if not holdout and pipeline.monitoring and pipeline.monitoring.retrain:
        text = "a retrained model is judged on rows that it was not fitted on: give training.evaluate.holdout"
        yield ("monitoring", "retrain"), text


def _validated(data: Data) -> Iterator[Fault]:
    for name, checks in data.validate_.items():
        if checks.dataset is not None:
            continue
        if name not in data.ingest:
            yield ("data", "validate", name), f"no dataset {name!r} is ingested{did_you_mean(name, list(data.ingest))}"
        elif data.ingest[name].reference:
            text = "is a reference table: it is not staged; give `dataset: {name: " + name + "}` to check the table"
            yield ("data", "validate", name), f"{name!r} {text}"


def _tables(pipeline: Pipeline) -> Iterator[Fault]:
    known = known_datasets(pipeline)
    said = (
        (("training", "dataset", "entities"), pipeline.training and pipeline.training.dataset.entities),
        (("scoring", "dataset"), pipeline.scoring and pipeline.scoring.dataset),
        (
            ("monitoring", "performance", "labels"),
            pipeline.monitoring and pipeline.monitoring.performance and pipeline.monitoring.performance.labels,
        ),
    )
    for path, name in said:
        if known and name and name not in known:
            yield path, f"data makes no table {name!r}{did_you_mean(name, known)}"


def _monitored(pipeline: Pipeline, monitoring: Monitoring, dataset: dict[str, Any]) -> Iterator[Fault]:
    yield from _wakes(pipeline, monitoring)
    drift = monitoring.drift
    if drift is not None and drift.current is None and drift.dataset is None and pipeline.scoring is None:
        text = "nothing is watched: give `current: {name: TABLE}`, or a section scoring"
        yield ("monitoring", "drift"), text
    if monitoring.retrain is not None and labels_of(pipeline) is None:
        yield (
            ("monitoring", "retrain"),
            "no labels to decide by: give monitoring.performance.labels or training.dataset",
        )
    if monitoring.performance is not None:
        yield from _performance(pipeline, dataset)
        yield from _conditions(monitoring)


def _conditions(monitoring: Monitoring) -> Iterator[Fault]:
    """Yield conditions on what nobody measures: they would never ask."""
    if monitoring.retrain is None or monitoring.performance is None:
        return
    measured = [*monitoring.performance.metrics, *DRIFT]
    missing = [name for name in monitoring.retrain.when if name not in measured]
    if missing and "when" not in monitoring.retrain.model_fields_set:
        text = (
            f"without 'when' {' and '.join(missing)} would ask, which monitoring.performance.metrics lacks: give 'when'"
        )
        yield ("monitoring", "retrain"), text
    else:
        for name in missing:
            text = f"{name!r} is not among monitoring.performance.metrics{did_you_mean(name, measured)}"
            yield ("monitoring", "retrain", "when", name), text


def _wakes(pipeline: Pipeline, monitoring: Monitoring) -> Iterator[Fault]:
    """Yield what is wrong with monitoring's schedule: its own where nothing else wakes it, and only there."""
    waker = "scoring" if pipeline.scoring else "data" if pipeline.data else None
    said = monitoring.schedule
    if said is None and waker is None:
        yield ("monitoring",), "'schedule' is missing: without data and scoring nothing wakes it"
    elif said is not None and waker is not None:
        yield ("monitoring", "schedule"), f"{waker} wakes monitoring: remove the schedule"
    elif said is not None and "://" not in said and "reconcile" in monitoring.model_fields_set:
        yield ("monitoring", "reconcile"), "a schedule by the clock needs no other: remove reconcile"


def _performance(pipeline: Pipeline, dataset: dict[str, Any]) -> Iterator[Fault]:
    performance = pipeline.monitoring and pipeline.monitoring.performance
    for key, source in (("labels", "entities"), ("target",) * 2, ("unique_key",) * 2):
        if not getattr(performance, key) and source not in dataset:
            text = f"{key!r} is not known: write it here or `{source}` in training.dataset"
            yield ("monitoring", "performance"), text
    metric = pipeline.training and pipeline.training.evaluate and pipeline.training.evaluate.primary_metric
    if performance and metric and metric.startswith(_OF_NUMBERS) and "metrics" not in performance.model_fields_set:
        text = f"without 'metrics' those of probabilities are measured, and {metric} is one of numbers: give 'metrics'"
        yield ("monitoring", "performance"), f"{text}, such as [rmse, mae, rmse_ratio]"


def _runs_on(pipeline: Pipeline, config: FactoryConfig) -> Iterator[Fault]:
    for path, section in _options(pipeline):
        runs_on = getattr(section, "runs_on", None)
        if runs_on is None:
            continue
        if runs_on.kubernetes is not None:
            at = (*path, "runs_on", "kubernetes")
            yield from (((*at, key), text) for key, text in pod_faults(runs_on.kubernetes, config))
            yield from _unseen_lake(at, runs_on.kubernetes, pipeline.lake or config.lake)
            if runs_on.kubernetes.workers > 1:
                yield from _at((*at, "workers"), _unshared(path, section))
        if runs_on.python:
            yield from _at((*path, "runs_on", "python"), interpreter_faults(runs_on.python, config))


def _unshared(path: KeyPath, section: Any) -> Iterator[str]:
    """Yield why several workers would only do the same work several times."""
    if path != ("training", "train"):
        yield "only training.train runs in several pods: say it there"
    elif section.python_callable is None:
        yield "needs a python_callable whose workers share the fit"
    elif section.search is not None:
        yield "search runs in one pod: give one of the two"


def _unseen_lake(at: KeyPath, pod: Pod, lake: str | None) -> Iterator[Fault]:
    """Yield that a pod cannot see the lake: a folder of Airflow's machine, and no volume there."""
    seen = [volume.mount_path for volume in pod.volumes.values()]
    if lake and "://" not in lake and not any(PurePosixPath(lake).is_relative_to(path) for path in seen):
        yield at, f"the pod does not see the lake {lake!r}: mount a volume at that path, or keep it in an object store"


def _options(pipeline: Pipeline) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each section that may say where its task runs."""
    yield ("defaults",), pipeline.defaults
    yield ("scoring",), pipeline.scoring
    parts = {
        "data": ("transform", "materialize", "maintain"),
        "training": ("train", "evaluate"),
        "monitoring": ("drift", "performance", "retrain"),
    }
    for section, names in parts.items():
        for name in names:
            yield (section, name), getattr(getattr(pipeline, section), name, None)


def _function(
    path: KeyPath, name: str | None, config: FactoryConfig, files: Files, call: str | None = None
) -> Iterator[Fault]:
    if name:
        shown = call.format(name=name.rpartition(".")[2]) if call else None
        yield from _at(path, callable_faults(name, config, files=files, call=shown))


def _at(path: KeyPath, messages: Iterable[str]) -> Iterator[Fault]:
    for message in messages:
        yield path, message

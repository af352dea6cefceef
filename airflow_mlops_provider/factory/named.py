"""What a pipeline file names inside other tools' files: expectation suites, dbt's models, Feast's features.

Only lint looks there, by reading: no tool is imported and none is run.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.factory.errors import KeyPath, did_you_mean
from airflow_mlops_provider.factory.feature_names import FeatureNames, feature_names
from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.manifest import Manifest
from airflow_mlops_provider.factory.models import Pipeline

__all__ = ["named_faults"]

Fault = tuple[KeyPath, str]


def named_faults(pipeline: Pipeline, files: Files) -> Iterator[Fault]:
    """Yield what is wrong inside the suites, and names of models and features that nobody defines."""
    yield from _suites(pipeline, files)
    yield from _models(pipeline, files)
    yield from _features(pipeline, files)


def _suites(pipeline: Pipeline, files: Files) -> Iterator[Fault]:
    from airflow_mlops_provider.steps.expectations import lint_suite

    for name, checks in pipeline.data.validate_.items() if pipeline.data else ():
        if not checks.expectation_suite or not files.is_file(checks.expectation_suite):
            continue
        suite = files.root / checks.expectation_suite
        try:
            faults = lint_suite(suite)
        except MissingExtraError as exc:
            faults = [f"{suite}: not checked: {exc}"]
        for fault in faults:
            shown = fault.replace(str(suite), checks.expectation_suite, 1)
            yield ("data", "validate", name, "expectation_suite"), shown


def _models(pipeline: Pipeline, files: Files) -> Iterator[Fault]:
    transform = pipeline.data.transform if pipeline.data else None
    manifest = Manifest.of(transform.project_dir, files) if transform else None
    if transform is None or manifest is None:
        return
    if transform.select:
        for fault in manifest.selection_faults(transform.select):
            yield ("data", "transform", "select"), fault
    for i, name in enumerate(transform.publish):
        if unknown := manifest.model_fault(name):
            yield ("data", "transform", "publish", i), unknown


def _features(pipeline: Pipeline, files: Files) -> Iterator[Fault]:
    materialize = pipeline.data.materialize if pipeline.data else None
    known = feature_names(materialize.feature_repo, files) if materialize else None
    if materialize is None or known is None:
        return
    for i, view in enumerate(materialize.feature_views):
        if fault := _unknown("feature view", view, known.views, known, materialize.feature_repo):
            yield ("data", "materialize", "feature_views", i), fault
    for path, service in _services(pipeline):
        if service and (fault := _unknown("feature service", service, known.services, known, materialize.feature_repo)):
            yield path, fault


def _services(pipeline: Pipeline) -> Iterator[tuple[KeyPath, str | None]]:
    if pipeline.training is not None:
        yield ("training", "dataset", "feature_service"), pipeline.training.dataset.feature_service
    if pipeline.scoring is not None:
        yield ("scoring", "feature_service"), pipeline.scoring.feature_service
    if pipeline.monitoring is not None and pipeline.monitoring.drift is not None:
        yield ("monitoring", "drift", "feature_service"), pipeline.monitoring.drift.feature_service


def _unknown(kind: str, name: str, names: frozenset[str], known: FeatureNames, repo: str) -> str | None:
    if name in names or known.more:
        return None
    return f"{repo} defines no {kind} {name!r}{did_you_mean(name, sorted(names))}"

"""The whole check of a file, offline: shape, then what it names. Nothing is imported, nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.factory.config import ElsewhereConfig, FactoryConfig
from airflow_mlops_provider.factory.errors import FileError, PipelineFileError
from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.load import Document, decoded, load
from airflow_mlops_provider.factory.models import Pipeline
from airflow_mlops_provider.factory.rules import meaning_faults, name_faults
from airflow_mlops_provider.factory.templates import template_faults
from airflow_mlops_provider.factory.validate import pipeline_of

__all__ = ["lint", "read"]


def lint(path: Path, *, bundle: Path, config: FactoryConfig) -> list[FileError]:
    """Return every error of a file and its suites, alone and under each of its environments.

    Another environment's allow-lists are not known here: what its part names outside the bundle is let through.
    """
    files = Files(bundle)
    try:
        document = load(path, files.name(path))
    except PipelineFileError as exc:
        return exc.errors
    overlays = document.data.get("environments")
    errors: set[FileError] = set()
    for environment in (None, *(overlays if isinstance(overlays, dict) else ())):
        here = config if environment in (None, config.environment) else ElsewhereConfig(environment=environment)
        try:
            errors.update(_suite_errors(*_checked(document, environment, files, here), bundle))
        except PipelineFileError as exc:
            errors.update(exc.errors)
    return sorted(errors)


def read(raw: bytes, name: str, *, files: Files, config: FactoryConfig) -> tuple[Document, Pipeline]:
    """Return a file's content under `config`'s environment. Raises PipelineFileError with all its errors."""
    return _checked(decoded(raw, name), config.environment, files, config)


def _checked(
    document: Document, environment: str | None, files: Files, config: FactoryConfig
) -> tuple[Document, Pipeline]:
    overlays = document.data.get("environments")
    if overlays is not None and not isinstance(overlays, dict):
        raise PipelineFileError([document.error(("environments",), "a mapping of keys is wanted")])
    for name, overlay in (overlays or {}).items():
        if not isinstance(overlay, dict):
            raise PipelineFileError([document.error(("environments", name), "a mapping of keys is wanted")])
    merged = document.merged(environment)
    pipeline = pipeline_of(merged)
    faults = [*template_faults(merged.data), *name_faults(pipeline, config, files), *meaning_faults(pipeline)]
    if faults:
        raise PipelineFileError(merged.error(*fault, at_key=merged.is_mapping(fault[0])) for fault in faults)
    return merged, pipeline


def _suite_errors(document: Document, pipeline: Pipeline, bundle: Path) -> Iterator[FileError]:
    """Yield the faults of the suites in the bundle. Not part of `read`: a DAG file that is parsed reads no suites."""
    from airflow_mlops_provider.steps.expectations import lint_suite

    for name, checks in pipeline.data.validate_.items() if pipeline.data else ():
        suite = bundle / (checks.expectation_suite or "")
        if not suite.is_file():
            continue
        try:
            faults = lint_suite(suite)
        except MissingExtraError as exc:
            faults = [f"{suite}: not checked: {exc}"]
        for fault in faults:
            shown = fault.replace(str(suite), str(checks.expectation_suite), 1)
            yield document.error(("data", "validate", name, "expectation_suite"), shown)

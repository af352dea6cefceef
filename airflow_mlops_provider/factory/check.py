"""The whole check of a file, offline: shape, then what it names. Nothing is imported, nothing is run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_mlops_provider.factory.config import ElsewhereConfig, FactoryConfig
from airflow_mlops_provider.factory.errors import FileError, PipelineFileError, dotted
from airflow_mlops_provider.factory.files import MAX_BYTES, Files
from airflow_mlops_provider.factory.load import Document, decoded
from airflow_mlops_provider.factory.models import Pipeline
from airflow_mlops_provider.factory.named import named_faults
from airflow_mlops_provider.factory.rules import meaning_faults, name_faults
from airflow_mlops_provider.factory.templates import template_faults
from airflow_mlops_provider.factory.together import twin_errors
from airflow_mlops_provider.factory.validate import pipeline_of, sound_part

__all__ = ["LintedFile", "lint", "lint_files", "read"]

_MAX_ENVIRONMENTS = 50


@dataclass
class LintedFile:
    """One file that was looked at: its name in errors, its bytes (none: it could not be read), its errors in order."""

    name: str
    raw: bytes = b""
    errors: list[FileError] = field(default_factory=list)


def lint(path: Path, *, bundle: Path, config: FactoryConfig) -> list[FileError]:
    """Return every error of one file, alone and under each of its environments."""
    return lint_files([(path, bundle)], config=config)[0].errors


def lint_files(files: Iterable[tuple[Path, Path]], *, config: FactoryConfig) -> list[LintedFile]:
    """Return each (file, its bundle's root) with every error, alone, under each of its environments, and together.

    Another environment's allow-lists are not known here: what its part names outside the bundle is let through.
    """
    linted: list[LintedFile] = []
    documents: list[Document] = []
    for path, bundle in files:
        one = LintedFile(_shown(path))
        linted.append(one)
        try:
            with path.open("rb") as file:
                one.raw = file.read(MAX_BYTES + 1)
            document = decoded(one.raw, one.name)
            _overlays(document)
        except PipelineFileError as exc:
            one.errors = exc.errors
        except OSError as exc:
            one.errors = [FileError(one.name, 1, 1, "", f"cannot be read: {exc.strerror or exc}")]
        else:
            one.errors = _errors(document, Files(bundle), config)
            documents.append(document)
    twins = twin_errors(documents)
    for one in linted:
        one.errors = sorted({*one.errors, *(error for error in twins if error.file == one.name)})
    return linted


def read(raw: bytes, name: str, *, files: Files, config: FactoryConfig) -> tuple[Document, Pipeline]:
    """Return a file's content under `config`'s environment. Raises PipelineFileError with all its errors."""
    document = decoded(raw, name)
    _overlays(document)
    merged = document.merged(config.environment)
    pipeline, errors = _examined(merged, files, config)
    if errors or pipeline is None:
        raise PipelineFileError(errors)
    return merged, pipeline


def _errors(document: Document, files: Files, config: FactoryConfig) -> list[FileError]:
    errors: list[FileError] = []
    for environment in (None, *_overlays(document)):
        here = config if environment in (None, config.environment) else ElsewhereConfig(environment=environment)
        merged = document.merged(environment)
        pipeline, found = _examined(merged, files, here)
        errors += found
        # Not part of `read`: a DAG file that is parsed reads no suite, manifest or feature repository.
        if pipeline is not None:
            errors += [merged.error(*fault) for fault in named_faults(pipeline, files)]
    return errors


def _overlays(document: Document) -> dict[str, Any]:
    """Return the file's environments. Raises PipelineFileError where they are no mappings, or too many."""
    overlays = document.data.get("environments")
    if overlays is not None and not isinstance(overlays, dict):
        raise PipelineFileError([document.error(("environments",), "a mapping of keys is wanted")])
    for name, overlay in (overlays or {}).items():
        if not isinstance(overlay, dict):
            raise PipelineFileError([document.error(("environments", name), "a mapping of keys is wanted")])
    if len(overlays or {}) > _MAX_ENVIRONMENTS:
        text = f"more than {_MAX_ENVIRONMENTS} environments: the file is checked under each of them"
        raise PipelineFileError([document.error(("environments",), text, at_key=True)])
    return overlays or {}


def _examined(merged: Document, files: Files, config: FactoryConfig) -> tuple[Pipeline | None, list[FileError]]:
    """Return the pipeline, or what of it has the right shape, and every error.

    Whether the sections fit together is not asked of a part: what is missing there is wrong, not absent.
    """
    errors: list[FileError] = []
    pipeline: Pipeline | None
    try:
        pipeline = pipeline_of(merged)
    except PipelineFileError as exc:
        errors, pipeline = exc.errors, sound_part(merged)
    faults = list(template_faults(merged.data))
    if pipeline is not None:
        wrong = [error.path for error in errors]
        faults += [fault for fault in name_faults(pipeline, config, files) if not _below(dotted(fault[0]), wrong)]
        faults += meaning_faults(pipeline) if not errors else ()
    return pipeline, [*errors, *(merged.error(*fault, at_key=merged.is_mapping(fault[0])) for fault in faults)]


def _below(place: str, wrong: list[str]) -> bool:
    """Return whether something below a place is wrong: what a mapping seems to lack may be there, misspelt."""
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for path in wrong)


def _shown(path: Path) -> str:
    """Return a file's path from the working directory, where editors and code hosts look for it."""
    absolute = path.resolve()
    return absolute.relative_to(Path.cwd()).as_posix() if absolute.is_relative_to(Path.cwd()) else str(path)

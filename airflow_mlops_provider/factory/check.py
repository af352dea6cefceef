"""The whole check of a file, offline: shape, then what it names. Nothing is imported, nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.compose import composed
from airflow_mlops_provider.factory.config import ElsewhereConfig, FactoryConfig
from airflow_mlops_provider.factory.errors import FileError, PipelineFileError, dotted
from airflow_mlops_provider.factory.files import Files, content
from airflow_mlops_provider.factory.load import Document
from airflow_mlops_provider.factory.matrix import (
    MAX_EXPANDED,
    Variant,
    unused_errors,
    variants,
    waits_for_environment,
)
from airflow_mlops_provider.factory.models import Pipeline
from airflow_mlops_provider.factory.named import named_faults
from airflow_mlops_provider.factory.rules import meaning_faults, name_faults
from airflow_mlops_provider.factory.templates import template_faults
from airflow_mlops_provider.factory.together import matrix_errors, twin_errors
from airflow_mlops_provider.factory.validate import pipeline_of, sound_part

__all__ = ["LintedFile", "lint", "lint_files", "overlays", "read", "sound"]

_MAX_ENVIRONMENTS = 50
# Of one file, in all its environments.
_MAX_EXAMINED = 1_000
# The sections that name what stands in other tools' files.
_NAMING = ("data", "training", "scoring", "monitoring")


@dataclass
class LintedFile:
    """One file that was looked at: its name in errors, its bytes (none: it could not be read), its errors in order."""

    name: str
    raw: bytes = b""
    errors: list[FileError] = field(default_factory=list)


def lint(path: Path, *, bundle: Path, config: FactoryConfig) -> list[FileError]:
    """Return every error of one file and of what lies under it, alone and under each of its environments."""
    linted = lint_files([(path, bundle)], config=config)
    return [error for one in linted for error in one.errors]


def lint_files(files: Iterable[tuple[Path, Path]], *, config: FactoryConfig) -> list[LintedFile]:
    """Return each (file, its bundle's root) with every error, alone, under each of its environments, and together.

    Behind them stands each file with an error that lies under one of them: it is said once. Another environment's
    allow-lists are not known here: what its part names outside the bundle is let through.
    """
    linted: dict[str, LintedFile] = {}
    errors: list[FileError] = []
    documents: list[tuple[Document, Path]] = []
    under: dict[str, Path] = {}
    for path, bundle in files:
        one = linted[_shown(path)] = LintedFile(_shown(path))
        seen = Files(bundle)

        def shown(place: str, bundle: Path = bundle) -> str:
            under[_shown(bundle / place)] = bundle / place
            return _shown(bundle / place)

        try:
            one.raw = content(path)
            document = composed(one.raw, one.name, seen, place=seen.name(path), shown=shown)
            overlays(document)
        except PipelineFileError as exc:
            errors += exc.errors
        except ConfigError as exc:
            errors.append(FileError(one.name, 1, 1, "", str(exc).removeprefix(f"{path}: ")))
        else:
            errors += _errors(document, seen, config)
            documents.append((document, bundle))
    for error in sorted({*errors, *twin_errors(documents)}):
        if error.file not in linted:
            linted[error.file] = LintedFile(error.file, content(under[error.file]))
        linted[error.file].errors.append(error)
    return list(linted.values())


def read(
    raw: bytes, name: str, *, files: Files, config: FactoryConfig, only: str | None = None
) -> list[tuple[Document, Pipeline]]:
    """Return a file's pipelines under `config`'s environment. Raises PipelineFileError with all its errors.

    `only` names the one that is wanted where there are several: the others are not looked at.
    """
    return sound(composed(raw, name, files), files=files, config=config, only=only)


def sound(
    document: Document, *, files: Files, config: FactoryConfig, only: str | None = None
) -> list[tuple[Document, Pipeline]]:
    """Return a composed document's pipelines; the rest as `read`."""
    overlays(document)
    errors = list(unused_errors(document))
    found: list[tuple[Document, Pipeline]] = []
    made = variants(document.merged(config.environment), only)
    for variant in made:
        pipeline, wrong = _examined(variant, files, config)
        errors += wrong
        if pipeline is not None:
            found.append((variant.document, pipeline))
    if len(made) > 1:
        errors += matrix_errors([variant.document for variant in made if not variant.open])
    if errors:
        raise PipelineFileError(errors)
    return found


def _errors(document: Document, files: Files, config: FactoryConfig) -> list[FileError]:
    errors = list(unused_errors(document))
    looked: set[str] = set()
    pipelines = values = 0
    environments = [] if waits_for_environment(document) else [None]
    for environment in (*environments, *overlays(document)):
        here = config if environment in (None, config.environment) else ElsewhereConfig(environment=environment)
        try:
            made = variants(document.merged(environment))
        except PipelineFileError as exc:
            errors += exc.errors
            continue
        pipelines, values = pipelines + len(made), values + sum(len(one.document.marks) for one in made)
        if pipelines > _MAX_EXAMINED or values > MAX_EXPANDED:
            text = f"more than {_MAX_EXAMINED:,} pipelines or {MAX_EXPANDED:,} values in all environments together: "
            text += "write several files"
            return [*errors, document.error(("environments",), text, at_key=True)]
        for variant in made:
            pipeline, found = _examined(variant, files, here)
            errors += found
            if pipeline is not None:
                errors += _named(variant.document, pipeline, files, looked)
    return errors


def _named(document: Document, pipeline: Pipeline, files: Files, looked: set[str]) -> Iterator[FileError]:
    """Yield what is wrong with names in other tools' files, once for all pipelines that name the same.

    Not part of `read`: a DAG file that is parsed reads no suite, manifest or feature repository.
    """
    key = json.dumps([document.data.get(section) for section in _NAMING])
    if key not in looked:
        looked.add(key)
        yield from (document.error(*fault) for fault in named_faults(pipeline, files))


def overlays(document: Document) -> dict[str, Any]:
    """Return the file's environments. Raises PipelineFileError where they are no mappings, or too many."""
    found = document.data.get("environments")
    if found is not None and not isinstance(found, dict):
        raise PipelineFileError([document.error(("environments",), "a mapping of keys is wanted")])
    for name, overlay in (found or {}).items():
        if not isinstance(overlay, dict):
            raise PipelineFileError([document.error(("environments", name), "a mapping of keys is wanted")])
        if "extends" in overlay:
            text = "a file extends another in every environment, or in none: write it at the top"
            raise PipelineFileError([document.error(("environments", name, "extends"), text, at_key=True)])
    if len(found or {}) > _MAX_ENVIRONMENTS:
        text = f"more than {_MAX_ENVIRONMENTS} environments: the file is checked under each of them"
        raise PipelineFileError([document.error(("environments",), text, at_key=True)])
    return found or {}


def _examined(variant: Variant, files: Files, config: FactoryConfig) -> tuple[Pipeline | None, list[FileError]]:
    """Return the pipeline, or what of it has the right shape, and every error.

    Whether the sections fit together is not asked of a part: what is missing there is wrong, not absent.
    """
    errors: list[FileError] = []
    pipeline: Pipeline | None
    merged = variant.document
    try:
        pipeline = pipeline_of(merged)
    except PipelineFileError as exc:
        errors, pipeline = exc.errors, sound_part(merged)
    faults, shape = list(template_faults(merged.data)), bool(errors)
    if pipeline is not None:
        wrong = [error.path for error in errors]
        faults += [fault for fault in name_faults(pipeline, config, files) if not _below(dotted(fault[0]), wrong)]
    errors += [merged.error(*fault, at_key=merged.is_mapping(fault[0])) for fault in faults]
    if pipeline is not None and not shape and not variant.errors:
        meaning = meaning_faults(pipeline)
        errors += [merged.whole_error(*fault, at_key=merged.is_mapping(fault[0])) for fault in meaning]
    errors = [error for error in errors if (error.file, error.line, error.column) not in variant.open]
    return pipeline, [*variant.errors, *errors]


def _below(place: str, wrong: list[str]) -> bool:
    """Return whether something below a place is wrong: what a mapping seems to lack may be there, misspelt."""
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for path in wrong)


def _shown(path: Path) -> str:
    """Return a file's path from the working directory, where editors and code hosts look for it."""
    absolute = path.resolve()
    return absolute.relative_to(Path.cwd()).as_posix() if absolute.is_relative_to(Path.cwd()) else str(path)

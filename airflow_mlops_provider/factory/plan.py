"""From a pipeline file to its plans: read, checked and laid out. No Airflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import did_you_mean
from airflow_mlops_provider.factory.files import Files, content
from airflow_mlops_provider.factory.plan_data import PipelinePlan

if TYPE_CHECKING:
    from airflow_mlops_provider.factory.load import Document

__all__ = ["PipelinePlan", "one_of", "plan", "planned_all", "plans", "plans_of"]


def plan(
    path: str | Path,
    *,
    environment: str | None = None,
    bundle: str | Path | None = None,
    config: FactoryConfig | None = None,
    pipeline: str | None = None,
) -> PipelinePlan:
    """Return the plan of a pipeline file, of several that its matrix makes the one called `pipeline`; as `plans`.

    Raises ConfigError, which lists their names, where it is none of them, or not said.
    """
    return one_of(plans(path, environment=environment, bundle=bundle, config=config), pipeline)


def plans(
    path: str | Path,
    *,
    environment: str | None = None,
    bundle: str | Path | None = None,
    config: FactoryConfig | None = None,
) -> list[PipelinePlan]:
    """Return the plan of each pipeline of a file under `environment` (default: the one of `config`).

    `bundle` is the folder that the file's paths and functions are relative to (default: the file's own).
    Raises PipelineFileError with every error of the file, ConfigError where nothing says anything of `environment`.
    """
    # Here and not above: they build every model of a pipeline file, and a kept plan needs none.
    from airflow_mlops_provider.factory.check import overlays
    from airflow_mlops_provider.factory.compose import composed

    config = config or FactoryConfig.from_environment()
    file = Path(path)
    files = Files(Path(bundle or file.parent))
    document = composed(content(file), files.name(file), files)
    if environment is not None and environment not in (known := overlays(document)):
        near = did_you_mean(environment, sorted(known)) or ": it has none"
        raise ConfigError(f"{document.file}: no environment {environment!r}{near}")
    return planned_all(document, files, replace(config, environment=environment or config.environment))


def plans_of(
    raw: bytes, name: str, files: Files, config: FactoryConfig, *, only: str | None = None
) -> list[PipelinePlan]:
    """Return the plans of a file's bytes; they depend on nothing but these arguments and what `files` has seen.

    Errors call the file `name`. `only` is the pipeline that is wanted, where a matrix makes several. Raises
    PipelineFileError with every error of the file.
    """
    from airflow_mlops_provider.factory.compose import composed

    return planned_all(composed(raw, name, files), files, config, only=only)


def planned_all(
    document: Document, files: Files, config: FactoryConfig, *, only: str | None = None
) -> list[PipelinePlan]:
    """Return the plans of a composed document; the rest as `plans_of`."""
    from airflow_mlops_provider.factory.check import sound
    from airflow_mlops_provider.factory.planning import planned

    found = sound(document, files=files, config=config, only=only)
    return [planned(*one, environment=config.environment, lake=config.lake) for one in found]


def one_of(plans: Sequence[PipelinePlan], pipeline: str | None) -> PipelinePlan:
    """Return the plan of this pipeline; without a name, the only one. Raises ConfigError, which lists the names."""
    names = [one.pipeline for one in plans]
    if pipeline in names:
        return plans[names.index(pipeline)]
    if pipeline is not None:
        raise ConfigError(f"{plans[0].file} makes no pipeline {pipeline!r}{did_you_mean(pipeline, names)}")
    if len(plans) > 1:
        raise ConfigError(f"{plans[0].file} makes {len(plans)} pipelines: say which of {', '.join(names)}")
    return plans[0]

"""From a pipeline file to its plan: read, checked and laid out. No Airflow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.files import Files, content
from airflow_mlops_provider.factory.plan_data import PipelinePlan

__all__ = ["PipelinePlan", "plan", "plan_of"]


def plan(
    path: str | Path,
    *,
    environment: str | None = None,
    bundle: str | Path | None = None,
    config: FactoryConfig | None = None,
) -> PipelinePlan:
    """Return the plan of a pipeline file under `environment` (default: the one of `config`).

    `bundle` is the folder that the file's paths and functions are relative to (default: the file's own).
    Raises PipelineFileError with every error of the file.
    """
    config = config or FactoryConfig.from_environment()
    config = replace(config, environment=environment or config.environment)
    file = Path(path)
    files = Files(Path(bundle or file.parent))
    return plan_of(content(file), files.name(file), files, config)


def plan_of(raw: bytes, name: str, files: Files, config: FactoryConfig) -> PipelinePlan:
    """Return the plan of a file's bytes; it depends on nothing but these arguments and what `files` has seen.

    Errors call the file `name`. Raises PipelineFileError with every error of the file.
    """
    # Here and not above: they build every model of a pipeline file, and a kept plan needs none.
    from airflow_mlops_provider.factory.check import read
    from airflow_mlops_provider.factory.planning import planned

    document, pipeline = read(raw, name, files=files, config=config)
    return planned(document, pipeline, environment=config.environment, lake=config.lake)

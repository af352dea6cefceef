"""A section of a pipeline file as a TaskGroup of a handwritten DAG: the same operators as in the file's own DAGs."""

from __future__ import annotations

from pathlib import Path

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk import TaskGroup

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.build import file_document, planned_file
from airflow_mlops_provider.factory.classes import lines_told
from airflow_mlops_provider.factory.plan import one_of
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan
from airflow_mlops_provider.factory.tasks import add_tasks
from airflow_mlops_provider.operators.bundle import folder_below

__all__ = ["section_group"]


def section_group(
    file: str | Path,
    section: str,
    *,
    group_id: str | None = None,
    bundle: str | Path | None = None,
    pipeline: str | None = None,
) -> TaskGroup:
    """Return a section (`data`, `scoring`, `monitoring` or `training`) as a group of the DAG in whose `with` it is.

    `file` lies beside the DAG's own file; `group_id` is by default the section's name, and goes before each
    task's id. `bundle` is the folder that the file's paths are relative to; default: the DAG bundle. When the
    group runs is the DAG's own matter: `data` needs a data interval. `pipeline` is the one that is meant, where a
    matrix makes several. Raises PipelineFileError with every error of the file, ConfigError if it has no such section
    or pipeline.
    """
    with TaskGroup(group_id=group_id or section, tooltip=f"{section} of {Path(file).name}") as group:
        path = Path(group.dag.fileloc).parent / file
        read = one_of(planned_file(path, bundle), pipeline)
        with lines_told(lambda name: file_document(path, bundle, name), read.pipeline):
            add_tasks(read, _section(read, section), group, folder_below(bundle, path))
    return group


def _section(read: PipelinePlan, section: str) -> DagPlan:
    for dag in read.dags:
        if dag.section == section:
            return dag
    raise ConfigError(f"{read.file} has no section {section!r}; it has {', '.join(d.section for d in read.dags)}")

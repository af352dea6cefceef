"""A section of a pipeline file as a TaskGroup of a handwritten DAG: the same operators as in the file's own DAGs."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops_provider.hooks import require_airflow

require_airflow()

from airflow.sdk import TaskGroup  # noqa: E402

from airflow_mlops_provider.exceptions import ConfigError  # noqa: E402
from airflow_mlops_provider.factory.build import airflow_config  # noqa: E402
from airflow_mlops_provider.factory.plan import DagPlan, PipelinePlan, plan  # noqa: E402
from airflow_mlops_provider.factory.tasks import add_tasks  # noqa: E402
from airflow_mlops_provider.operators.bundle import bundle_of, folder_below  # noqa: E402

__all__ = ["section_group"]


def section_group(
    file: str | Path, section: str, *, group_id: str | None = None, bundle: str | Path | None = None
) -> TaskGroup:
    """Return a section (`data`, `scoring`, `monitoring` or `training`) as a group of the DAG in whose `with` it is.

    `file` lies beside the DAG's own file; `group_id` is by default the section's name, and goes before each
    task's id. `bundle` is the folder that the file's paths are relative to; default: the DAG bundle. When the
    group runs is the DAG's own matter: `data` needs a data interval. Raises PipelineFileError with every error of
    the file, ConfigError if it has no such section.
    """
    with TaskGroup(group_id=group_id or section, tooltip=f"{section} of {Path(file).name}") as group:
        path = Path(group.dag.fileloc).parent / file
        read = plan(path, bundle=bundle or bundle_of(path), config=airflow_config())
        add_tasks(read, _section(read, section), group, folder_below(bundle, path))
    return group


def _section(read: PipelinePlan, section: str) -> DagPlan:
    for dag in read.dags:
        if dag.section == section:
            return dag
    raise ConfigError(f"{read.file} has no section {section!r}; it has {', '.join(d.section for d in read.dags)}")

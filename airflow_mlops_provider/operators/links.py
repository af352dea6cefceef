"""Links from a task to what it made."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import RuntimeTaskInstanceProtocol as RuntimeTaskInstance
    from airflow.sdk.types import TaskInstanceKey

__all__ = [
    "DriftReportLink",
    "MlflowRunLink",
    "ModelVersionLink",
    "MonitoringLink",
    "QuarantineLink",
    "model_version_url",
    "page_url",
    "run_url",
]


def run_url(ui: str, experiment: str | None, run_id: str) -> str:
    """Return the address of a run's page; without its experiment, of MLflow's first page. Empty without a UI."""
    if not ui:
        return ""
    return f"{ui}/#/experiments/{quote(experiment)}/runs/{quote(run_id)}" if experiment else f"{ui}/"


def model_version_url(ui: str, model: str, version: str) -> str:
    """Return the address of a model version's page, empty without a UI."""
    return f"{ui}/#/models/{quote(model)}/versions/{quote(version)}" if ui else ""


def page_url(page: str, ti_key: TaskInstanceKey | RuntimeTaskInstance) -> str:
    """Return the address of one of this package's own pages about a task instance, inside Airflow's UI."""
    base = str(conf.get("api", "base_url", fallback=None) or "").rstrip("/")
    names = "/".join(quote(name, safe="") for name in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
    return f"{base}/mlops/{names}/{-1 if ti_key.map_index is None else ti_key.map_index}/{page}"


class _MadeLink(BaseOperatorLink):
    """A link to what a step made, by the address in its task's `links`.

    Airflow asks for it in the worker, on the task that has just run, and keeps the answer as an XCom.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's form
        """Return the address, empty where the task made nothing of the kind."""
        links: dict[str, str] = getattr(operator, "links", {})
        return links.get(self.name, "")


class MlflowRunLink(_MadeLink):
    """To the run in MLflow."""

    name = "MLflow run"


class ModelVersionLink(_MadeLink):
    """To the version in MLflow's registry."""

    name = "Model version"


class _PageLink(_MadeLink):
    """A link to a page of this package; the task's `links` only say that there is something to see."""

    page = ""

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, empty where the task made nothing of the kind."""
        return page_url(self.page, ti_key) if super().get_link(operator, ti_key=ti_key) else ""


class DriftReportLink(_PageLink):
    """To the newest drift report."""

    name = "Drift report"
    page = "report"


class QuarantineLink(_PageLink):
    """To the rows that were put aside."""

    name = "Quarantine rows"
    page = "quarantine"


class MonitoringLink(_PageLink):
    """To the pipeline's monitoring history."""

    name = "Monitoring history"
    page = "monitoring"

"""Operators that register, promote and roll back a model version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import ModelVersionLink, model_version_url

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["MlflowPromoteOperator", "MlflowRegisterOperator", "MlflowRollbackOperator"]


class MlflowRegisterOperator(StepOperator):
    """Make a model version of what was trained, refused or not, with the verdict as its tags.

    :param model: registered name (templated)
    :param trained: what `TrainOperator` returned: its `.output` (templated)
    :param verdict: what `EvaluateOperator` returned: its `.output` (templated)
    """

    step = "register"
    spec_fields = ("model", "trained", "verdict")
    uses_mlflow = True
    operator_extra_links = (ModelVersionLink(),)

    # XComArg at parse time, a mapping when it runs.
    def __init__(self, *, model: str, trained: Any, verdict: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.trained = trained
        self.verdict = verdict

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return the address of the version in MLflow."""
        return _version_link(self, result["version"])


class MlflowPromoteOperator(StepOperator):
    """Make a version champion in the promotion ledger; MLflow's alias follows. Who loses the race fails at once.

    :param model: registered name (templated)
    :param version: the version; default: that of `model_uri`, registered where it is none yet (templated)
    :param model_uri: any `models:/` or `runs:/` address; default: that of `trained` (templated)
    :param alias: the alias that follows (templated)
    :param expected_sequence: promotions that the ledger had when this version was judged; default: now (templated)
    :param trained: what `TrainOperator` returned, for the record (templated)
    :param verdict: what `EvaluateOperator` returned, for the record and the expected sequence (templated)
    :param reason: for the record (templated)
    """

    step = "promote"
    spec_fields = ("model", "version", "model_uri", "alias", "expected_sequence", "trained", "verdict", "reason")
    uses_mlflow = True
    operator_extra_links = (ModelVersionLink(),)

    def __init__(
        self,
        *,
        model: str,
        version: Any = None,  # XComArg at parse time, text when it runs
        model_uri: str | None = None,
        alias: str | None = None,
        expected_sequence: int | str | None = None,
        trained: Any = None,  # as `version`, a mapping
        verdict: Any = None,  # as `trained`
        reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.model_uri = model_uri
        self.alias = alias
        self.expected_sequence = expected_sequence
        self.trained = trained
        self.verdict = verdict
        self.reason = reason

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return the address of the version in MLflow."""
        return _version_link(self, result["promotion"]["version"])

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:
        """Tell, and return the record."""
        record = result["promotion"]
        self.tell("promoted", f"{self.model}: version {record['version']}: {record.get('reason', '')}", context)
        return result


class MlflowRollbackOperator(StepOperator):
    """Restore the former champion if its shadow beat the new one in probation.

    :param model: registered name (templated)
    :param alias: the alias that follows (templated)
    :param probation: batches in which the former champion scores in shadow
    :param level: of the two-sided interval of the daily loss difference
    :param force: at once, whatever the shadow says (templated)
    :param reason: for the record (templated)
    """

    step = "rollback"
    spec_fields = ("model", "alias", "probation", "level", "force", "reason")
    uses_mlflow = True
    operator_extra_links = (ModelVersionLink(),)

    def __init__(
        self,
        *,
        model: str,
        alias: str | None = None,
        probation: int | None = None,
        level: float | None = None,
        force: bool | None = None,
        reason: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.alias = alias
        self.probation = probation
        self.level = level
        self.force = force
        self.reason = reason

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return the address of the restored version in MLflow."""
        return _version_link(self, result["promotion"]["version"]) if result["promotion"] else {}

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:
        """Tell where a champion was rolled back, and return the result."""
        if result["rolled_back"]:
            self.tell("rolled_back", f"{self.model}: {result['reason']}", context)
        return result


def _version_link(
    task: MlflowRegisterOperator | MlflowPromoteOperator | MlflowRollbackOperator, version: str
) -> dict[str, str]:
    ui = MlflowHook(task.mlflow_conn_id).ui_url()
    return {ModelVersionLink.name: model_version_url(ui, task.model, version)}

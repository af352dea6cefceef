"""Operator that judges a challenger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import DownstreamTasksSkipped

from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import MlflowRunLink, run_url

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["EvaluateOperator"]


class EvaluateOperator(StepOperator):
    """Judge a challenger against the champion. A refusal is a success: the verdict is the XCom, promotion is skipped.

    :param model: registered name (templated)
    :param challenger: what `TrainOperator` returned, its `.output`; of a model that was fitted elsewhere its
        `models:/` address, or `{"model_uri": ..., "fitted_until" or "holdout_start": ..., "run_id": ...}` (templated)
    :param dataset: as given to `TrainOperator` (templated)
    :param primary_metric: metric of the comparison and of the slices (templated)
    :param gates: a condition a metric: `{"log_loss": {"vs_champion": "better", "alpha": 0.1}}` (templated)
    :param slices: columns whose values are judged by themselves (templated)
    :param min_slice_rows: smaller slices are left out
    :param alias: whose champion it is judged against (templated)
    :param skip_if_refused: task ids that a refusal skips; default: every task downstream that promotes
    """

    step = "evaluate"
    spec_fields = (
        "model",
        "challenger",
        "dataset",
        "primary_metric",
        "gates",
        "slices",
        "min_slice_rows",
        "alias",
        "timezone",
    )
    uses_mlflow = True
    operator_extra_links = (MlflowRunLink(),)

    def __init__(
        self,
        *,
        model: str,
        challenger: Any,  # XComArg at parse time, a mapping or an address when it runs
        dataset: Mapping[str, Any],
        primary_metric: str | None = None,
        gates: Mapping[str, Mapping[str, Any]] | None = None,
        slices: Sequence[str] | None = None,
        min_slice_rows: int | None = None,
        alias: str | None = None,
        skip_if_refused: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.challenger = challenger
        self.dataset = dataset
        self.primary_metric = primary_metric
        self.gates = gates
        self.slices = slices
        self.min_slice_rows = min_slice_rows
        self.alias = alias
        self.skip_if_refused = skip_if_refused

    def made(self, result: dict[str, Any]) -> dict[str, str]:  # noqa: ARG002 - the challenger's run
        """Return the address of the challenger's run in MLflow, if the run is known."""
        known = self.challenger if isinstance(self.challenger, Mapping) else {}
        if not known.get("run_id"):
            return {}
        ui = MlflowHook(self.mlflow_conn_id).ui_url()
        return {MlflowRunLink.name: run_url(ui, known.get("experiment_id"), known["run_id"])}

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:  # noqa: ARG002 - as in the base class
        """Show the verdict in the log and return it."""
        self.log.info("accepted: %s", result["reason"])
        return result

    def rejected(self, result: dict[str, Any], context: Context) -> Any:
        """Leave the verdict as XCom, tell, and skip the promotion by name; registering goes on."""
        context["ti"].xcom_push("return_value", result)
        self.tell("refused", result["reason"], context)
        self.log.info("refused: %s", result["reason"])
        raise DownstreamTasksSkipped(tasks=sorted(self._promotions()))  # type: ignore[no-untyped-call]  # Airflow's own

    def _promotions(self) -> Sequence[str]:
        if self.skip_if_refused is not None:
            return self.skip_if_refused
        below = self.get_flat_relatives(upstream=False)
        return [task.task_id for task in below if getattr(task, "step", None) == "promote"]

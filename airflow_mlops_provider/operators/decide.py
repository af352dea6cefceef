"""Operators of the governor: decide whether to retrain, and start the training that was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException, DownstreamTasksSkipped

from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import MonitoringLink

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["RetrainDecisionOperator", "StartTrainingOperator"]


class RetrainDecisionOperator(StepOperator):
    """Decide for every monitored batch that has no decision yet. None or wait skips the start of a training.

    Challengers refused in a row, `alert_after` of them, are told as the event `refused`.

    :param model: registered name (templated)
    :param labels: lake table of labelled rows: its batches are decided on (templated)
    :param retrain: the policy: `{"when": {"calibration_gap": {"abs_above": 0.04}}}`, debounce, cooldown, budget,
        quiet, alert_after, first_after (templated)
    :param alias: whose promotions count (templated)
    """

    step = "decide"
    spec_fields = ("model", "labels", "retrain", "alias")

    def __init__(
        self, *, model: str, labels: str, retrain: Mapping[str, Any], alias: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.labels = labels
        self.retrain = retrain
        self.alias = alias

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:
        """Show each decision with its numbers; skip every `StartTrainingOperator` below where none retrains."""
        for line in result["decisions"]:
            self.log.info("batch %s: %s: %s", line["batch"], line["decision"], line["reason"])
            if line.get("alert"):
                told = f"{self.model}, batch {line['batch']}: {line['alert']}; {line['decision']}: {line['reason']}"
                self.tell("refused", told, context, page=MonitoringLink.page)
        if result.get("training"):
            return result
        context["ti"].xcom_push("return_value", result)
        raise DownstreamTasksSkipped(tasks=sorted(self._starts()))  # type: ignore[no-untyped-call]  # Airflow's own

    def _starts(self) -> Sequence[str]:
        below = self.get_flat_relatives(upstream=False)
        return [task.task_id for task in below if isinstance(task, StartTrainingOperator)]


class StartTrainingOperator(BaseOperator):
    """Start one run of a DAG for one decision: the run's id is the decision's, so a second try finds it.

    :param decision: what `RetrainDecisionOperator` returned: its `.output` (templated)
    :param trigger_dag_id: the DAG that trains (templated)
    """

    template_fields: Sequence[str] = ("decision", "trigger_dag_id")
    template_fields_renderers = {"decision": "json"}  # noqa: RUF012 - Airflow's own form
    ui_color = "#e8f0f7"

    def __init__(self, *, decision: Any, trigger_dag_id: str, **kwargs: Any) -> None:  # XComArg, then a mapping
        super().__init__(**kwargs)
        self.decision = decision
        self.trigger_dag_id = trigger_dag_id

    def execute(self, context: Context) -> Any:  # noqa: ARG002 - Airflow's own form
        """Ask Airflow for the run; skipped where the run is there already, or where nothing is to be trained."""
        training = self.decision.get("training")
        if training is None:
            raise AirflowSkipException("no decision asks for a training")
        raise DagRunTriggerException(
            trigger_dag_id=self.trigger_dag_id,
            dag_run_id=training["id"],
            conf={"decision": training},
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=5,
            deferrable=False,
        )

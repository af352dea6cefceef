"""The operator that every other one is: it builds a spec, hands it to a runner and maps the outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_mlops_provider.exceptions import ConfigError, InputError
from airflow_mlops_provider.hooks.connection import connection_fields, connection_ids
from airflow_mlops_provider.hooks.lake import LakeHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.operators.batch import batch_of
from airflow_mlops_provider.operators.bundle import bundle_of_task
from airflow_mlops_provider.operators.links import page_url
from airflow_mlops_provider.operators.notify import Refused, tell

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

    from airflow_mlops_provider.contracts.base import StepSpec
    from airflow_mlops_provider.contracts.protocol import Message, Outcome, Request
    from airflow_mlops_provider.runners.base import Runner

__all__ = ["StepOperator"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_RETRIED = {"transient", "lost"}


class StepOperator(BaseOperator):
    """Run one step; the result, plain JSON, is the task's XCom.

    Every argument in `spec_fields` becomes the spec's field of that name; None leaves it at its default. What
    failed by its input or by a bug is not retried; what a retry may get past is.

    :param pipeline: whose work this is; default: the DAG's id (templated)
    :param lake: root of the lake, a folder of the bundle or elsewhere, or an address; default: the lake
        connection's, else `[mlops] lake` of airflow.cfg (templated)
    :param bundle: folder of the DAG's bundle that paths and functions are relative to; default: its root (templated)
    :param runs_on: `local` (this process), or another place that the runners know
    :param timezone: whose days make a batch; default: the DAG's
    :param mlflow_conn_id: connection of the tracking server, for steps that use one
    :param lake_conn_id: connection of the lake's store; may be absent for a folder
    :param notify: notifiers that are told what happened
    :param notify_on: of `refused`, `promoted`, `rolled_back` and `drift`, which; default: all
    """

    step: ClassVar[str]
    spec_fields: ClassVar[tuple[str, ...]] = ()
    batch_use: ClassVar[Literal["required", "optional", "none"]] = "none"
    uses_mlflow: ClassVar[bool] = False
    template_fields: Sequence[str] = ("pipeline", "lake", "bundle")
    ui_color = "#e8f0f7"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = (*cls.spec_fields, *(("batch",) if cls.batch_use != "none" else ()))
        cls.template_fields = (*StepOperator.template_fields, *own)
        cls.template_fields_renderers = {"batch": "json", **dict.fromkeys(own, "json")}

    def __init__(
        self,
        *,
        pipeline: str | None = None,
        lake: str | None = None,
        bundle: str | None = None,
        runs_on: Any = "local",  # a word or the runner's own mapping
        timezone: str | None = None,
        mlflow_conn_id: str = "mlflow_default",
        lake_conn_id: str = "lake_default",
        notify: BaseNotifier | Sequence[BaseNotifier] = (),
        notify_on: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.lake = lake
        self.bundle = bundle
        self.runs_on = runs_on
        self.timezone = timezone
        self.mlflow_conn_id = mlflow_conn_id
        self.lake_conn_id = lake_conn_id
        self.notify = notify
        self.notify_on = notify_on
        self.links: dict[str, str] = {}

    def execute(self, context: Context) -> Any:
        """Run the step and return its result; see the class for what each outcome becomes."""
        outcome = self.run_step(context)
        if outcome.status == "failed":
            self.fail(outcome)
        result = outcome.result or {}
        self.links = self.made(result)
        return self.rejected(result, context) if outcome.status == "rejected" else self.succeeded(result, context)

    def run_step(self, context: Context) -> Outcome:
        """Return the step's outcome. Raises AirflowFailException where the spec cannot be built."""
        # Here and not above, as below: a DAG file that is parsed needs no runner, no step and no contract.
        from airflow_mlops_provider.runners import runner_for

        try:
            request = self.request(context)
            runner: Runner = runner_for(self.runs_on)
        except InputError as exc:
            raise AirflowFailException(str(exc)) from exc
        return runner.run(request, emit=self._show)

    def succeeded(self, result: dict[str, Any], context: Context) -> Any:  # noqa: ARG002 - for operators that need it
        """Return what the task returns."""
        return result

    def rejected(self, result: dict[str, Any], context: Context) -> Any:
        """Answer a gate's no: by default the task fails at once, with the result as its XCom."""
        context["ti"].xcom_push("return_value", result)
        raise Refused(str(result.get("reason") or f"{self.step}: rejected"))

    def made(self, result: dict[str, Any]) -> dict[str, str]:  # noqa: ARG002 - for operators that have links
        """Return the addresses of what the step made, by the link that shows each; none by default."""
        return {}

    def tell(self, event: str, message: str, context: Context, *, page: str = "", plot: str = "") -> None:
        """Call the notifiers with `mlops` in their context: pipeline, event, message, and where there are any, `link`
        to this package's `page` about the task, and `plot`, a picture as SVG.
        """
        if self.notify_on is not None and event not in self.notify_on:
            return
        link = page_url(page, context["ti"]) if page else ""
        news = {"pipeline": self.pipeline_name, "event": event, "message": message, "link": link, "plot": plot}
        tell(self.notify, {key: value for key, value in news.items() if value}, context)

    @property
    def pipeline_name(self) -> str:
        """The pipeline, or the DAG's id where none was given."""
        return self.pipeline or self.dag_id

    def request(self, context: Context) -> Request:
        """Return the request for the runner. Raises InputError if the spec cannot be built."""
        from airflow_mlops_provider.runners.base import request_for

        fields = self.build_spec(context)
        spec = self._checked(fields)
        return request_for(
            self.step,
            spec,
            run_key=self._run_key(fields, context),
            # A trainer's or dbt's own parameters name no connection, whatever their keys.
            connections=self._connections(spec.model_dump(exclude={"parameters", "vars"})),
        )

    def build_spec(self, context: Context) -> dict[str, Any]:
        """Return the spec's fields as given. Raises ConfigError if a batch is needed and there is none."""
        bundle = str(Path(bundle_of_task(context)) / (self.bundle or ""))
        lake = LakeHook(self.lake_conn_id, self.lake).root()
        if "://" not in lake:
            lake = str(Path(bundle) / lake)
        spec: dict[str, Any] = {"pipeline": self.pipeline_name, "lake": lake, "bundle": bundle}
        spec |= {name: value for name in self.spec_fields if (value := getattr(self, name)) is not None}
        if self.batch_use != "none":
            batch = batch_of(getattr(self, "batch", None), context, self._timezone())
            if batch is None and self.batch_use == "required":
                raise ConfigError(_NO_BATCH.format(task=self.task_id))
            if batch is not None:
                spec["batch"] = batch
        return spec

    def _checked(self, spec: dict[str, Any]) -> StepSpec:
        from pydantic import ValidationError

        from airflow_mlops_provider.steps.registry import step as find_step

        try:
            return find_step(self.step).spec.model_validate(spec)
        except ValidationError as exc:
            faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
            # Not `from exc`: pydantic's own text repeats the values.
            raise ConfigError(f"{self.task_id}: {faults}") from None

    def _connections(self, spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
        # Steps know the two by role, whatever their ids are here.
        found = {conn_id: connection_fields(conn_id) for conn_id in sorted(set(connection_ids(spec)))}
        if store := LakeHook(self.lake_conn_id).fields():
            found["lake_default"] = store
        if self.uses_mlflow and spec.get("model"):
            found["mlflow_default"] = MlflowHook(self.mlflow_conn_id).fields()
        return found

    def _run_key(self, spec: Mapping[str, Any], context: Context) -> str:
        """Return what is the same for every try of this work."""
        unit = spec["batch"]["id"] if spec.get("batch") else context["run_id"]
        index = context["ti"].map_index
        mapped = f"/{index}" if index is not None and index >= 0 else ""
        return f"{spec['pipeline']}/{self.task_id}/{unit}{mapped}"

    def _timezone(self) -> str:
        return self.timezone or getattr(self.dag.timezone, "name", None) or "UTC"

    def _show(self, message: Message) -> None:
        share = "" if message.progress is None else f" ({message.progress:.0%})"
        self.log.log(_LEVELS[message.level], "%s%s", message.text, share)

    def fail(self, outcome: Outcome) -> NoReturn:
        """Raise what a failed outcome is to Airflow: a retry may get past a transient or lost one only."""
        if outcome.trace:
            self.log.error("%s", outcome.trace)
        fault = AirflowException if outcome.kind in _RETRIED else AirflowFailException
        raise fault(f"{self.step}: {outcome.error}")


_NO_BATCH = (
    "{task}: no batch: this DAG run has no data interval, nor has one whose asset woke it. Schedule it, or the one "
    "that emits the asset, with a data-interval timetable (CronDataIntervalTimetable; a plain '@daily' gives an empty "
    "interval in Airflow 3), trigger it with a logical date, or give batch={{'id': ..., 'start': ..., 'end': ...}}"
)

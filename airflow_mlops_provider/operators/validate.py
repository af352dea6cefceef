"""Operator that accepts, quarantines or refuses a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.operators.base import StepOperator
from airflow_mlops_provider.operators.links import QuarantineLink
from airflow_mlops_provider.operators.notify import Refused

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["ValidateOperator"]


class ValidateOperator(StepOperator):
    """Check tables or a staged batch; a refusal fails the task at once and leaves the verdict in its XCom.

    :param datasets: checks a dataset: `{"flights": {"expectation_suite": "suite.json", "max_failed": 0.02}}`, with
        `dataset` (a reference) for a table that exists (templated)
    :param batch: id, start, end and timezone; default: the data interval, if there is one (templated)
    :param publish: staged datasets that an accepted batch is published with (templated)
    :param unique_keys: of rows with the same key the first stays (templated)
    :param on_schema_change: `evolve` or `reject` a dataset (templated)
    """

    step = "validate"
    spec_fields = ("datasets", "publish", "unique_keys", "on_schema_change")
    batch_use = "optional"
    operator_extra_links = (QuarantineLink(),)

    def __init__(
        self,
        *,
        datasets: Mapping[str, Mapping[str, Any]],
        batch: Mapping[str, Any] | None = None,
        publish: Sequence[str] | None = None,
        unique_keys: Mapping[str, Sequence[str]] | None = None,
        on_schema_change: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.datasets = datasets
        self.batch = batch
        self.publish = publish
        self.unique_keys = unique_keys
        self.on_schema_change = on_schema_change

    def made(self, result: dict[str, Any]) -> dict[str, str]:
        """Return whether there are quarantined rows to see."""
        tables = [v["quarantine"]["name"] for v in result["datasets"].values() if v["quarantine"]]
        return {QuarantineLink.name: ", ".join(tables)} if tables else {}

    def rejected(self, result: dict[str, Any], context: Context) -> Any:
        """Leave the verdict as XCom, tell, and fail with the one line that says what and where."""
        from airflow_mlops_provider.contracts.validate import ValidateResult

        found = ValidateResult.model_validate(result)
        line = f"{f'batch {found.batch} ' if found.batch else ''}refused: {found.refusal()}"
        context["ti"].xcom_push("return_value", result)
        self.tell("refused", line, context, page=QuarantineLink.page if self.made(result) else "")
        raise Refused(line)

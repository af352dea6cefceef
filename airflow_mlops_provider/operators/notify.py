"""Telling people: the operators call notifiers themselves, for no callback knows a refusal from a success."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

__all__ = ["FailureCallback", "Refused", "tell"]

_log = logging.getLogger(__name__)


class Refused(AirflowFailException):
    """A gate's no that fails its task: it was told as such."""


def tell(notifiers: BaseNotifier | Sequence[BaseNotifier], news: dict[str, str], context: Context) -> None:
    """Call each notifier with `mlops` in its context: pipeline, event and message.

    What goes wrong there is logged only: what was done is done whether or not somebody could be told.
    """
    for notifier in notifiers if isinstance(notifiers, Sequence) else [notifiers]:
        try:
            notifier({**context, "mlops": news})
        except Exception:  # noqa: BLE001  # whatever a notifier raises, in the log with its trace
            _log.exception("%s: nobody could be told: %s", news["event"], news["message"])


class FailureCallback:
    """`on_failure_callback` that tells of a fault, as event `failed`; a refusal was told already."""

    def __init__(self, notifier: BaseNotifier, pipeline: str) -> None:
        self.notifier = notifier
        self.pipeline = pipeline

    def __call__(self, context: Any) -> None:  # Airflow's context
        """Tell, unless the task failed by a gate's no."""
        fault = context.get("exception")
        if isinstance(fault, Refused):
            return
        task = context["ti"].task_id
        tell(self.notifier, {"pipeline": self.pipeline, "event": "failed", "message": f"{task}: {fault}"}, context)

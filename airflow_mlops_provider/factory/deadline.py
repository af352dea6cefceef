"""The deadline of a DAG's runs, as Airflow's own alert."""

from __future__ import annotations

import sys
from datetime import timedelta

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from airflow_mlops_provider.factory.classes import BuildError, notifier_class
from airflow_mlops_provider.factory.plan_data import DagPlan, PipelinePlan
from airflow_mlops_provider.operators.deadline import tell_missed

__all__ = ["deadline_of"]


def deadline_of(pipeline: PipelinePlan, dag: DagPlan, folder: str = "") -> DeadlineAlert | None:
    """Return what Airflow calls where a run is not done `deadline_s` after it was queued; None: nothing.

    `folder`, below the DAG bundle, is what the notifier's name is relative to.
    """
    notify = pipeline.notify
    if dag.deadline_s is None or notify is None or "missed_deadline" not in notify.on:
        return None
    kind = notifier_class(notify.notifier, folder)
    if getattr(sys.modules[kind.__module__], kind.__qualname__, None) is not kind:
        text = f"{kind.__qualname__} does not stand at the top of {kind.__module__}: the triggerer could not import it"
        raise BuildError([(("notify", "notifier"), text)])
    told = {
        "notifier": f"{kind.__module__}.{kind.__qualname__}",
        "arguments": notify.arguments,
        "pipeline": pipeline.pipeline,
    }
    # In the triggerer, which every executor has beside it: not all of them run a SyncCallback.
    callback = AsyncCallback(tell_missed, kwargs=told)
    interval = timedelta(seconds=dag.deadline_s)
    return DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=interval, callback=callback)

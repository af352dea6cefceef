"""What a pod wrote to the lake, where no pod or no whole termination message tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_mlops_provider.exceptions import MissingExtraError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops_provider.contracts.protocol import Outcome
    from airflow_mlops_provider.operators.base import StepOperator
    from airflow_mlops_provider.runners.ending import End

__all__ = ["outcome_in_lake"]


def outcome_in_lake(inner: StepOperator, pod: str, end: End, context: Context) -> Outcome | None:
    """Return the outcome of the pod named `pod` from the lake of its step's operator; None where it left none.

    Raises AirflowException where the lake does not answer, and AirflowFailException where there is an outcome but
    Airflow's environment has not the tools to read it.
    """
    from airflow_mlops_provider.hooks.lake import LakeHook
    from airflow_mlops_provider.runners.base import redacted
    from airflow_mlops_provider.runners.outcomes import kept_outcome
    from airflow_mlops_provider.runners.pod import outcome_path

    # By the pod's name, whatever path its message says: what comes from a pod chooses no file of the lake.
    path = outcome_path(pod)
    store = None
    try:
        store = LakeHook(inner.lake_conn_id, inner.lake).fields()
        return kept_outcome(inner.build_spec(context)["lake"], path, store)
    except MissingExtraError as exc:
        if end.path is not None:
            raise AirflowFailException(f"{inner.step}: its outcome is in the lake, at {path}: {exc}") from exc
        inner.log.warning("the lake was not asked for an outcome: %s", exc)
        return None
    except Exception as exc:
        said = redacted(str(exc), {"lake": store or {}})
        raise AirflowException(f"{inner.step}: {end.cause}: {end.detail}; the lake could not be asked: {said}") from exc

"""The end of a job's workers: all of them have to end well, and of several that did not one is the cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_mlops_provider.runners.ending import End, end_of

__all__ = ["end_of_workers", "worker_name"]

# What a worker's end is to the others', the most telling first.
_CLUSTERS_DOING, _OWN_FAILURE, _TAKEN, _NOT_OVER, _WELL = range(5)


def worker_name(job: str, rank: int) -> str:
    """Return by what name a worker's outcome is kept; the first one's is the job's."""
    return f"{job}-{rank}" if rank else job


def end_of_workers(pods: Mapping[int, Mapping[str, Any]], workers: int, container: str) -> tuple[int, End]:
    """Return the worker whose end is the job's, and that end. The pods are the API's JSON, by worker.

    The first one's where all ended well. Else what the cluster did to a pod goes before what a container did, and of
    those what came first: where one worker fails, the others lose it or are deleted, which says nothing.
    """
    found = [(*_weighed(pods.get(rank), container), rank) for rank in range(workers)]
    weight, _, end, rank = min(found, key=lambda one: (one[0], one[1], one[3]))
    # The first worker records what all of them used.
    end = replace(end, charged=found[0][2].charged)
    if weight == _WELL:
        return rank, end
    if weight == _TAKEN:
        # Which of them went first is no longer to be seen.
        gone = ", ".join(str(one[3]) for one in found if one[0] == _TAKEN)
        return rank, replace(end, detail=f"the job ended as pods were deleted: of worker {gone}")
    outcome = end.outcome and replace(end.outcome, error=f"worker {rank}: {end.outcome.error}")
    return rank, replace(end, detail=f"worker {rank}: {end.detail}", outcome=outcome)


def _weighed(pod: Mapping[str, Any] | None, container: str) -> tuple[int, str, End]:
    """Return what the pod's end is to the others', when it was, and the end."""
    if pod is None:
        return _TAKEN, "", End("node_lost")
    end, at, status = end_of(pod, container), _ended_at(pod, container), pod.get("status") or {}
    if status.get("phase") == "Succeeded":
        return _WELL, "", end
    disrupted = any(one.get("type") == "DisruptionTarget" for one in status.get("conditions") or ())
    if (pod.get("metadata") or {}).get("deletionTimestamp") and not disrupted:
        return _TAKEN, at, replace(end, cause="node_lost")
    if end.cause not in ("exited", "running"):
        return _CLUSTERS_DOING, at, end
    return (_OWN_FAILURE if status.get("phase") == "Failed" else _NOT_OVER), at, end


def _ended_at(pod: Mapping[str, Any], container: str) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    own = [one for one in statuses if one.get("name") == container]
    ended = ((own[0].get("state") or {}).get("terminated") or {}) if own else {}
    return str(ended.get("finishedAt") or "")

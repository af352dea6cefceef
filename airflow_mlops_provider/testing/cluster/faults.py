"""What may happen to a pod or to the API, and the script that says to which pod."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_mlops_provider.testing.cluster.objects import Json
from airflow_mlops_provider.testing.cluster.selectors import label_selector
from airflow_mlops_provider.testing.cluster.status import ApiError, forbidden, too_many, unavailable

__all__ = ["ApiFaults", "Evict", "Fault", "ImagePull", "NodeLost", "PodScript", "Preempt", "Unschedulable"]


@dataclass(frozen=True, kw_only=True)
class Evict:
    """The node runs short and ends the pod `after_s` after its containers have started: Failed, reason Evicted."""

    after_s: float = 0.0
    message: str = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61Mi. "
    grace_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Preempt:
    """The scheduler deletes the pod for one of higher priority, with its grace period."""

    after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NodeLost:
    """The node falls silent: phase Unknown; `gone_after_s` later the pod is deleted, and only then its process ends."""

    after_s: float = 0.0
    gone_after_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Unschedulable:
    """No node fits for `for_s` seconds, or ever: Pending with the scheduler's words."""

    for_s: float | None = None
    message: str = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."


@dataclass(frozen=True, kw_only=True)
class ImagePull:
    """The registry does not give the image for `for_s` seconds, or ever: ErrImagePull, then ImagePullBackOff."""

    for_s: float | None = None
    message: str = "failed to pull and unpack image: unexpected status code: 503 Service Unavailable"


Fault = Evict | Preempt | NodeLost | Unschedulable | ImagePull


class PodScript:
    """Which new pod meets which fault: each pod takes the next of the first script whose selector it matches."""

    def __init__(self) -> None:
        self._scripts: list[tuple[str, Iterator[Fault | None]]] = []

    def add(self, faults: Iterable[Fault | None], selector: str = "") -> None:
        """Give these to the next pods that match the label selector, in order; None leaves a pod in peace.

        An endless iterable, such as `itertools.repeat(Evict())`, serves every pod. An empty selector is all pods.
        """
        self._scripts.append((selector, iter(faults)))

    def clear(self) -> None:
        """Leave every further pod in peace."""
        self._scripts.clear()

    def next_for(self, pod: Json) -> Fault | None:
        """Take the fault of a new pod."""
        for selector, faults in self._scripts:
            if label_selector(selector)(pod):
                for fault in faults:
                    return fault
        return None


@dataclass
class _Throttle:
    left: int
    retry_after_s: int
    path: re.Pattern[str]


class ApiFaults:
    """What the API does to requests: throttles them, answers 503, tells watchers late."""

    def __init__(self) -> None:
        self.watch_delay_s = 0.0
        self._throttles: list[_Throttle] = []
        self._forbidden: dict[str, re.Pattern[str]] = {}
        self._away_until = 0.0

    def throttle(self, times: int, retry_after_s: int, path: str) -> None:
        """Answer 429 to the next `times` requests whose path the pattern is found in."""
        self._throttles.append(_Throttle(times, retry_after_s, re.compile(path)))

    def forbid(self, verb: str, path: str) -> None:
        """Answer 403 to this verb wherever the pattern is found in the path."""
        self._forbidden[verb] = re.compile(path)

    def away(self, for_s: float) -> None:
        """Answer 503 to every request for `for_s` seconds."""
        self._away_until = asyncio.get_running_loop().time() + for_s

    def check(self, verb: str, path: str) -> None:
        """Raise the ApiError that a request to `path` meets now, if any."""
        if verb in self._forbidden and self._forbidden[verb].search(path):
            raise forbidden(verb, path)
        if asyncio.get_running_loop().time() < self._away_until:
            raise unavailable()
        for throttle in self._throttles:
            if throttle.left > 0 and throttle.path.search(path):
                throttle.left -= 1
                raise self._refusal(throttle)

    @staticmethod
    def _refusal(throttle: _Throttle) -> ApiError:
        return too_many(throttle.retry_after_s)

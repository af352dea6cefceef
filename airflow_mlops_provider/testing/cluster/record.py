"""What the API knows of one pod, as scheduler, kubelet and node controller write it."""

from __future__ import annotations

from airflow_mlops_provider.testing.cluster.events import tell
from airflow_mlops_provider.testing.cluster.objects import Json, key_of
from airflow_mlops_provider.testing.cluster.podstatus import with_condition
from airflow_mlops_provider.testing.cluster.store import Store

__all__ = ["Record"]


class Record:
    """The pod's object and events; once its node is `lost`, what kubelet would write does not arrive."""

    def __init__(self, store: Store, pod: Json) -> None:
        self.key = key_of("pods", pod)
        self.uid: str = pod["metadata"]["uid"]
        self.lost = False
        self._store = store
        self._last = pod

    @property
    def pod(self) -> Json:
        """The pod as the API has it, or had it last."""
        self._last = self._store.find(self.key, self.uid) or self._last
        return self._last

    @property
    def over(self) -> bool:
        """Whether the pod has ended for good."""
        return self.pod["status"]["phase"] in ("Succeeded", "Failed")

    def keep(self, pod: Json) -> None:
        """Store the changed pod; one that is no longer there stays away."""
        if self._store.find(self.key, self.uid):
            self._store.replace("pods", pod)

    def mark(self, condition: Json) -> None:
        """Set a condition."""
        pod = self.pod
        self.keep(pod | {"status": with_condition(pod["status"], condition)})

    def tell(self, reason: str, message: str, *, source: str = "kubelet", container: str = "") -> None:
        """Keep an event."""
        if not self.lost or source != "kubelet":
            tell(self._store, self.pod, reason, message, source=source, container=container)

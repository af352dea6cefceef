"""Airflow's side of a pod's task without Airflow: tries, deferrals and triggers, each with a fresh operator.

A worker's process knows nothing of an earlier one's: so every entry gets an operator of its own, and what passes from
one to the next is what Airflow would keep: the event, the task state store, the XComs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_mlops_provider.operators.kubernetes import KubernetesStepOperator

BATCH = {"id": "b1", "start": "2024-01-01T00:00:00+00:00", "end": "2024-01-02T00:00:00+00:00", "timezone": "UTC"}


class Killed(BaseException):
    """SIGKILL, as far as a process can play it: nothing runs after it."""


@dataclass
class PodTask:
    """A task of one KubernetesStepOperator, or of another operator of pods (`kind`).

    `arguments` are the operator's, `retries` Airflow's. `meets` is called with each operator before it is entered: the
    place to harm it. `pushed` are the XComs, `told` their keys in the order of the pushes, `tries` how many there
    were, `error` the last one's; `woken` is when the last event came, by the monotonic clock.
    """

    dag_id: str
    arguments: dict[str, Any]
    retries: int = 0
    run_id: str = "run"
    meets: Callable[[Any], None] = lambda _: None
    pushed: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] | None = field(default_factory=dict)
    tries: int = 0
    error: BaseException | None = None
    returned: Any = None
    woken: float = 0.0
    told: list[str] = field(default_factory=list)
    kind: Any = KubernetesStepOperator

    def run(self) -> bool:
        """Try until it succeeds or no try is left; tell which."""
        while self.tries <= self.retries:
            self.tries += 1
            try:
                self._try()
            except AirflowFailException as exc:
                self.error = exc
                return False
            except (AirflowException, Killed) as exc:
                self.error = exc
            else:
                return True
        return False

    def clear(self) -> None:
        """Let it run again, as people do."""
        self.retries += self.tries
        self.pushed.clear()

    def operator(self) -> Any:
        """Return the operator as a worker that has just parsed the file has it."""
        defaults = {"poll_interval": 0.2, "startup_check_interval_seconds": 0.2, "retries": self.retries}
        # Not `with DAG(...)`: that is one for all threads.
        made = self.kind(task_id="step", dag=DAG(self.dag_id, schedule=None), **defaults | self.arguments)
        self.meets(made)
        return made

    def _try(self) -> None:
        operator = self.operator()
        method, kwargs = operator.execute, {}
        while True:
            ExecutorSafeguard.tracker.set(operator)
            try:
                value = method(self.context(operator), **kwargs)
            except TaskDeferred as deferred:
                event = asyncio.run(_first(deferred.trigger))
                self.woken = time.monotonic()
                operator = self.operator()
                method, kwargs = getattr(operator, deferred.method_name), {"event": event}
            else:
                self.returned = value
                return

    def context(self, operator: Any) -> dict[str, Any]:
        """Return of Airflow's context what the operator asks for."""
        ti = SimpleNamespace(
            dag_id=self.dag_id,
            task_id="step",
            run_id=self.run_id,
            map_index=-1,
            try_number=self.tries,
            max_tries=self.retries,
            start_date=datetime.now(UTC),
            xcom_push=self._push,
        )
        found = {"ti": ti, "task_instance": ti, "run_id": self.run_id, "dag": operator.dag, "task": operator}
        if self.store is not None:
            held = self.store
            found["task_state_store"] = SimpleNamespace(get=held.get, set=held.__setitem__)
        return found

    def _push(self, key: str, value: Any) -> None:
        self.told.append(key)
        self.pushed[key] = value


async def _first(trigger: Any) -> dict[str, Any]:
    """Return the event of a trigger that another process has built from what it serialized to."""
    _, arguments = trigger.serialize()
    async for event in type(trigger)(**arguments).run():
        return event.payload
    raise AssertionError("a trigger without an event")

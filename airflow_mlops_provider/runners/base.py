"""What every runner is, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from airflow_mlops_provider.contracts.protocol import FaultKind, Message, Outcome, Request

if TYPE_CHECKING:
    from airflow_mlops_provider.contracts.base import StepSpec

__all__ = ["Emit", "Runner", "fault", "redacted", "request_for"]

Emit = Callable[[Message], None]

# As in Airflow's own masking of a connection's extra.
_SECRET_WORDS = ("pass", "secret", "token", "key", "authorization", "credential")
# Shorter ones would blank out half of any text.
_SHORTEST_SECRET = 4


class Runner(Protocol):
    """Where and how a step runs."""

    def run(self, request: Request, *, emit: Emit) -> Outcome:
        """Run one step to its end and return how it ended; `emit` takes its messages as they come.

        What goes wrong with the work or its process is in the outcome, never raised. Raises TypeError or
        ValueError if the request is not JSON. An exception that a signal or `emit` raises in the caller
        passes through, and the work has been stopped by then.
        """
        ...


def request_for(
    step: str,
    spec: StepSpec,
    *,
    run_key: str,
    connections: Mapping[str, Mapping[str, Any]] | None = None,
    trace_parent: str | None = None,
) -> Request:
    """Return the request that asks for `step` with `spec`.

    Fields at their default are left out, so that a worker of an earlier release understands it.
    """
    data = spec.model_dump(mode="json", exclude_defaults=True)
    given = {name: dict(fields) for name, fields in (connections or {}).items()}
    return Request(step, data, run_key, trace_parent=trace_parent, connections=given)


def fault(kind: FaultKind, error: str, trace: str = "") -> Outcome:
    """Return the outcome of work that failed."""
    return Outcome("failed", kind=kind, error=error, trace=trace)


def redacted(text: str, connections: Mapping[str, Mapping[str, Any]]) -> str:
    """Return `text` with the connections' secrets, plain or quoted for a URL, replaced by `***`."""
    found = {form for secret in _secrets(connections) for form in (secret, quote(secret, safe=""))}
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and len(value) >= _SHORTEST_SECRET and _is_secret(name):
            yield value


def _is_secret(field: str) -> bool:
    return any(word in field.lower() for word in _SECRET_WORDS)

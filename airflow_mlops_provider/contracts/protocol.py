"""The process protocol: one request in, messages and one outcome out, all JSON lines.

Standard library only: a pod or another interpreter needs nothing more to speak it. A worker reads the
request from standard input and answers on the channel that the runner picked, one JSON object a line,
the outcome last. An outcome counts only if it is whole and agrees with the exit code.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

__all__ = ["EXIT_CODES", "PROTOCOL", "FaultKind", "Message", "Outcome", "ProtocolError", "Request", "decode"]

# Raised by one with each change of form; a worker speaks this number and the one before.
PROTOCOL = 1

Status = Literal["succeeded", "rejected", "failed"]
FaultKind = Literal["bad_input", "transient", "lost", "bug"]
EXIT_CODES: dict[str, int] = {"succeeded": 0, "rejected": 0, "failed": 1}


class ProtocolError(ValueError):
    """A line that is not of the protocol; the text says where we looked and what was there."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked to do. `connections` holds secrets: it never leaves memory and pipes."""

    step: str
    spec: dict[str, Any]
    run_key: str
    trace_parent: str | None = None
    connections: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    protocol: int = PROTOCOL

    def encode(self) -> str:
        """Return the request as one JSON line."""
        return json.dumps({"type": "request", **asdict(self)})


@dataclass(frozen=True, slots=True)
class Message:
    """Something to show while the step runs: a log line or a progress figure in [0, 1]."""

    text: str
    level: Literal["debug", "info", "warning", "error"] = "info"
    progress: float | None = None

    def encode(self) -> str:
        """Return the message as one JSON line."""
        return json.dumps({"type": "message", **asdict(self)})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended. `rejected` carries a result too: a gate said no. A fault crosses as data."""

    status: Status
    result: dict[str, Any] | None = None
    kind: FaultKind | None = None
    error: str = ""
    trace: str = ""
    protocol: int = PROTOCOL

    def encode(self) -> str:
        """Return the outcome as one JSON line."""
        return json.dumps({"type": "outcome", **asdict(self)})


_FORMS: dict[str, type[Request] | type[Message] | type[Outcome]] = {
    "request": Request,
    "message": Message,
    "outcome": Outcome,
}


def decode(line: str) -> Request | Message | Outcome:
    """Return what a line says. Raises ProtocolError on anything that is not exactly of the protocol."""
    try:
        data = json.loads(line)
        form = _FORMS[data.pop("type")]
        decoded = form(**data)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ProtocolError(f"not a line of protocol {PROTOCOL}: {line[:200]!r}") from exc
    number = getattr(decoded, "protocol", PROTOCOL)
    if number not in (PROTOCOL, PROTOCOL - 1):
        raise ProtocolError(f"protocol {number} is not spoken here (this side speaks {PROTOCOL - 1} and {PROTOCOL})")
    if isinstance(decoded, Outcome):
        _check_outcome(decoded)
    return decoded


def _check_outcome(outcome: Outcome) -> None:
    if outcome.status not in get_args(Status):
        raise ProtocolError(f"unknown status {outcome.status!r}")
    if outcome.status == "failed" and outcome.kind not in get_args(FaultKind):
        raise ProtocolError(f"a failed outcome needs a kind of {get_args(FaultKind)}, not {outcome.kind!r}")
    if outcome.status != "failed" and not isinstance(outcome.result, dict):
        raise ProtocolError(f"a {outcome.status} outcome needs a result")

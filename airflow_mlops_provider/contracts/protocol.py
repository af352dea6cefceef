"""The process protocol: one request in, messages and one outcome out, all JSON lines.

Standard library only: a pod or another interpreter needs nothing more to speak it. A worker reads the
request from standard input and answers on the channel that the runner picked, one JSON object a line,
the outcome last. An outcome counts only if it is whole and agrees with the exit code.
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

__all__ = [
    "EXIT_CODES",
    "PROTOCOL",
    "FaultKind",
    "Message",
    "Outcome",
    "ProtocolError",
    "ProtocolVersionError",
    "Request",
    "decode",
]

# Raised by one with each change of form; a worker speaks this number and the one before.
PROTOCOL = 1
_SPOKEN = tuple(n for n in (PROTOCOL - 1, PROTOCOL) if n > 0)

# So many characters of a bad line are told: fewer than a request has before its connections.
_SHOWN = 80

Status = Literal["succeeded", "rejected", "failed"]
FaultKind = Literal["bad_input", "transient", "lost", "bug"]
EXIT_CODES: dict[str, int] = {"succeeded": 0, "rejected": 0, "failed": 1}


class ProtocolError(ValueError):
    """A line that is not of the protocol; the text says what was there."""


class ProtocolVersionError(ProtocolError):
    """The other side speaks a protocol that this one does not know."""


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
        """Return the request as one JSON line. Raises TypeError or ValueError on what is not JSON."""
        return json.dumps({"type": "request", **asdict(self)}, allow_nan=False)


@dataclass(frozen=True, slots=True)
class Message:
    """Something to show while the step runs: a log line or a progress figure in [0, 1]."""

    text: str
    level: Literal["debug", "info", "warning", "error"] = "info"
    progress: float | None = None

    def encode(self) -> str:
        """Return the message as one JSON line. Raises TypeError or ValueError on what is not JSON."""
        # Not asdict, which copies deeply: a step may write a hundred thousand of these.
        data = {"type": "message", "text": self.text, "level": self.level, "progress": self.progress}
        return json.dumps(data, allow_nan=False)


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
        """Return the outcome as one JSON line. Raises TypeError or ValueError on what is not JSON."""
        return json.dumps({"type": "outcome", **asdict(self)}, allow_nan=False)


_FORMS: dict[str, type[Request] | type[Message] | type[Outcome]] = {
    "request": Request,
    "message": Message,
    "outcome": Outcome,
}
_HINTS = {kind: get_type_hints(form) for kind, form in _FORMS.items()}


def decode(line: str) -> Request | Message | Outcome:
    """Return what a line says.

    Raises ProtocolVersionError on a protocol number that is not spoken here, ProtocolError on anything else
    that is not exactly of the protocol.
    """
    try:
        data = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"not a line of protocol {PROTOCOL}: {line[:_SHOWN]!r}") from exc
    kind = data.pop("type", None) if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _FORMS:
        raise ProtocolError(f"not a line of protocol {PROTOCOL}: {line[:_SHOWN]!r}")
    # Before the fields: another protocol has other ones.
    _check_number(data.get("protocol", PROTOCOL))
    decoded = _build(kind, data)
    if isinstance(decoded, Outcome):
        _check_outcome(decoded)
    return decoded


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _check_number(number: Any) -> None:  # whatever JSON held
    if number not in _SPOKEN:
        spoken = " and ".join(map(str, _SPOKEN))
        raise ProtocolVersionError(
            f"protocol {number!r} is not spoken by {sys.executable}, which speaks {spoken}: "
            "install the same airflow-mlops-provider on both sides"
        )


def _build(kind: str, data: dict[str, Any]) -> Request | Message | Outcome:
    hints = _HINTS[kind]
    wrong = [f"{name} is a {type(v).__name__}" for name, v in data.items() if name in hints and not _is(v, hints[name])]
    try:
        decoded = _FORMS[kind](**data)
    except TypeError as exc:
        raise ProtocolError(f"a {kind} of protocol {PROTOCOL} has other fields: {exc}") from exc
    if wrong:
        raise ProtocolError(f"a {kind} of protocol {PROTOCOL} has other values: {', '.join(wrong)}")
    return decoded


def _is(value: Any, hint: Any) -> bool:  # a JSON value, a type hint of the forms above
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (Union, types.UnionType):
        return any(_is(value, a) for a in args)
    if origin is dict:
        return isinstance(value, dict) and all(args[1] is Any or _is(v, args[1]) for v in value.values())
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint)


def _check_outcome(outcome: Outcome) -> None:
    if outcome.status == "failed" and outcome.kind is None:
        raise ProtocolError(f"a failed outcome needs a kind of {get_args(FaultKind)}")
    if outcome.status != "failed" and outcome.result is None:
        raise ProtocolError(f"a {outcome.status} outcome needs a result")

"""The step runs in a process of another Python: tools in their own environment, none in Airflow's."""

from __future__ import annotations

import errno
import signal
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_mlops_provider.contracts.protocol import (
    EXIT_CODES,
    FaultKind,
    Message,
    Outcome,
    ProtocolError,
    ProtocolVersionError,
    Request,
    decode,
)
from airflow_mlops_provider.runners.base import Emit, fault, redacted
from airflow_mlops_provider.runners.check import why_no_worker
from airflow_mlops_provider.runners.child import Child, forwarded_sigterm

__all__ = ["Interpreter"]

_TAIL_LINES = 20
_OUT_OF_RESOURCES = (errno.EAGAIN, errno.ENOMEM)


@dataclass(frozen=True)
class Interpreter:
    """Runs each step in a new process of `python`, with an empty environment plus an allow-list.

    Connections go in through a pipe only. What the step prints comes back as messages. SIGTERM is forwarded
    and leaves the step `grace_s` seconds to end; if this process dies, the child and what it started die too.
    """

    python: str = field(default_factory=lambda: sys.executable)
    grace_s: float = 10.0

    def run(self, request: Request, *, emit: Emit) -> Outcome:
        """Run the step; see `Runner.run`. Which interpreters are allowed is the caller's to check."""
        line = request.encode()
        heard = _Heard(emit)
        try:
            child = Child(self.python, grace_s=self.grace_s)
        except OSError as exc:
            kind: FaultKind = "transient" if exc.errno in _OUT_OF_RESOURCES else "bad_input"
            return fault(kind, f"runs_on: {self.python} cannot be started: {exc.strerror}; give the path of a Python")
        try:
            with child, forwarded_sigterm(child):
                child.send(line)
                code = child.listen(heard.line, heard.stdout, heard.stderr)
        except ProtocolVersionError as exc:
            return fault("bad_input", f"runs_on: {self.python} answered in another protocol: {exc}")
        except ProtocolError as exc:
            return fault("bug", f"runs_on: {self.python} broke the protocol: {exc}", heard.tail(request.connections))
        return self._judged(heard, code, request.connections)

    def _judged(self, heard: _Heard, code: int, connections: Mapping[str, Any]) -> Outcome:
        outcome = heard.outcome
        if outcome is not None and EXIT_CODES[outcome.status] == code:
            return outcome
        if outcome is None and code > 0 and (reason := why_no_worker(self.python)):
            return fault("bad_input", f"runs_on: {reason}")
        found = "no outcome" if outcome is None else f"outcome {outcome.status!r}"
        return fault(
            "lost",
            f"{found} on the channel of the worker in {self.python}, which {_how(code)}; "
            "a retry resumes the work. The last lines of its standard error are in the trace.",
            heard.tail(connections),
        )


class _Heard:
    """What a child said: its outcome, and the last lines of its standard error."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._last: deque[str] = deque(maxlen=_TAIL_LINES)
        self.outcome: Outcome | None = None

    def line(self, text: str) -> None:
        """Take a line of the channel. Raises ProtocolError on what has no place there."""
        said = decode(text)
        if self.outcome is not None or isinstance(said, Request):
            raise ProtocolError(f"{type(said).__name__} has no place there")
        if isinstance(said, Message):
            self._emit(said)
        else:
            self.outcome = said

    def stdout(self, text: str) -> None:
        """Take what the step printed."""
        self._emit(Message(text))

    def stderr(self, text: str) -> None:
        """Take what the step printed to standard error: libraries log there at any level."""
        self._last.append(text)
        self._emit(Message(text))

    def tail(self, connections: Mapping[str, Any]) -> str:
        """Return the last lines of standard error, without the connections' secrets."""
        return redacted("\n".join(self._last), connections)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")

"""Main of a pod: `python -m airflow_mlops_provider.runners.pod`. The request is in the environment.

The outcome goes to the lake first, then into the termination message: whoever finds the pod reads it there, and
whoever finds no pod any more reads the lake.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from airflow_mlops_provider.contracts.protocol import EXIT_CODES, Message, Outcome, ProtocolError, Request, decode
from airflow_mlops_provider.runners.base import fault
from airflow_mlops_provider.runners.execute import execute

__all__ = ["main", "outcome_path"]

# Kubernetes keeps that much of a termination message.
_MESSAGE_BYTES = 4096
_TERMINATION_LOG = "/dev/termination-log"


class _StoppedError(BaseException):
    """SIGTERM came. Not an Exception: a step's own handlers must not take it for a fault."""


def outcome_path(pod: str) -> str:
    """Return where below the lake's root a pod writes its outcome."""
    return f"_outcomes/{pod}.json"


def main(environment: Mapping[str, str], termination_log: str = _TERMINATION_LOG) -> NoReturn:
    """Answer the request and end the process with the outcome's exit code."""
    request = _request(environment)
    outcome = _answered(request)
    path = _kept(request, outcome, environment["MLOPS_POD"])
    Path(termination_log).write_text(_message(outcome, path))
    sys.stdout.flush()
    sys.stderr.flush()
    # Without the interpreter's own end: there Arrow's threads abort some processes whose work was done.
    os._exit(EXIT_CODES[outcome.status])


def _request(environment: Mapping[str, str]) -> Request:
    request = decode(environment["MLOPS_REQUEST"])
    if not isinstance(request, Request):
        raise ProtocolError(f"MLOPS_REQUEST holds a {type(request).__name__}")
    file = environment.get("MLOPS_CONNECTIONS")
    connections = json.loads(Path(file).read_text()) if file else {}
    return Request(request.step, request.spec, request.run_key, request.trace_parent, connections, request.protocol)


def _answered(request: Request) -> Outcome:
    try:
        signal.signal(signal.SIGTERM, _stop)
        outcome = execute(request, _show)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except _StoppedError:
        return fault("transient", "stopped by SIGTERM before the step ended; a retry resumes it")
    return outcome


def _stop(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001  # a handler's form
    raise _StoppedError


def _show(message: Message) -> None:
    share = "" if message.progress is None else f" ({message.progress:.0%})"
    print(f"{message.text}{share}", flush=True)


def _kept(request: Request, outcome: Outcome, pod: str) -> str | None:
    """Write the outcome to the lake and return its path; None where that failed, which the log says."""
    from airflow_mlops_provider.steps.lake import Lake

    path = outcome_path(pod)
    try:
        lake = Lake(str(request.spec.get("lake", "")), request.connections.get("lake_default"))
        lake.put(f"{lake.root}/{path}", outcome.encode().encode())
    except Exception as exc:  # noqa: BLE001  # the termination message still tells; a lost outcome must not hide the step's own
        print(f"the outcome could not be written to the lake: {type(exc).__name__}: {exc}", file=sys.stderr)
        return None
    return path


def _message(outcome: Outcome, path: str | None) -> str:
    data: dict[str, Any] = {"path": path, "outcome": json.loads(outcome.encode())}
    whole = json.dumps(data)
    if len(whole.encode()) <= _MESSAGE_BYTES or path is None:
        return whole
    return json.dumps({"path": path})


if __name__ == "__main__":
    main(os.environ)

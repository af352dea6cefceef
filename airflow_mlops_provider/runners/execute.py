"""What a worker does with a request: find the step, check its spec, run it, say how it ended.

Only the standard library, the protocol and the errors are imported until the step is known.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.protocol import FaultKind, Message, Outcome, ProtocolError, Request, decode
from airflow_mlops_provider.exceptions import BugError, InputError, LostError, LostRaceError, TransientError
from airflow_mlops_provider.runners.base import Emit, fault, redacted

if TYPE_CHECKING:
    from pydantic import ValidationError

    from airflow_mlops_provider.contracts.base import Contract, StepSpec
    from airflow_mlops_provider.steps.registry import Step

__all__ = ["answer", "execute", "outcome_of"]

# First match counts. A lost race is no retry's business: the other writer's commit stands.
_KINDS: tuple[tuple[type[Exception], FaultKind], ...] = (
    (InputError, "bad_input"),
    (LostRaceError, "bad_input"),
    (LostError, "lost"),
    (TransientError, "transient"),
)


# Faults of the file system that a retry meets again; any other OSError is a connection, a disk, a server.
_LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_SERVER_ERROR = 500


def answer(line: str, emit: Emit) -> Outcome:
    """Return the outcome of the request that `line` is; a line that is none is a fault too."""
    try:
        request = decode(line)
    except ProtocolError as exc:
        return fault("bad_input", str(exc))
    if not isinstance(request, Request):
        return fault("bad_input", f"{type(request).__name__} where a request belongs")
    return execute(request, emit)


def execute(request: Request, emit: Emit) -> Outcome:
    """Run the request's step in this process and return how it ended.

    The exception's type decides the kind. `bad_input`: InputError, LostRaceError, a spec that does not fit, a
    module that is not installed. `transient`: TransientError, a connection or a server that failed. `lost`:
    LostError. `bug`: anything else, also what a user's function raises (one that means bad input raises
    InputError itself). A bug carries its whole trace, another fault only where it has a cause. Connections'
    secrets are cut out of error, trace and messages.
    """
    try:
        return outcome_of(_run(request, emit))
    except (Exception, SystemExit) as exc:  # noqa: BLE001  # the end of the process: the cause crosses as data
        return _fault(exc, request)


def outcome_of(result: Contract) -> Outcome:
    """Return the outcome of a step that gave `result`: `rejected` if a gate said no.

    Raises BugError if the result is not plain JSON (NaN is not).
    """
    data = result.model_dump(mode="json")
    try:
        json.dumps(data, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise BugError(f"{type(result).__name__} is not plain JSON: {exc}") from exc
    return Outcome("rejected" if result.rejected else "succeeded", result=data)


def _run(request: Request, emit: Emit) -> Contract:
    extras: tuple[str, ...] = ()
    try:
        from airflow_mlops_provider.steps.registry import step

        found = step(request.step)
        extras = found.extras
        spec = _checked(found, request.spec)
        from airflow_mlops_provider.steps.context import StepContext

        def said(message: Message) -> None:
            # A warning may quote an error of somebody else's, and that one an address with its password.
            emit(replace(message, text=redacted(message.text, request.connections)))

        context = StepContext(run_key=request.run_key, connections=request.connections, emit=said)
        result = found.run(spec, context)
    except ModuleNotFoundError as exc:
        raise _not_installed(exc, request.step, extras) from exc
    if not isinstance(result, found.result):
        raise BugError(f"step {found.name!r} returned a {type(result).__name__}, not a {found.result.__name__}")
    return result


def _checked(step: Step, data: dict[str, Any]) -> StepSpec:
    from pydantic import ValidationError

    try:
        # As JSON: strict, and still a list is a tuple and an ISO text a time.
        return step.spec.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as exc:
        # Not `from exc`: pydantic's own text repeats the values, and these may be secrets.
        raise InputError(f"step {step.name!r}: {_readable(exc)}") from None


def _readable(errors: ValidationError) -> str:
    lines = []
    for error in errors.errors(include_url=False, include_context=False):
        where = ".".join(map(str, ("spec", *error["loc"])))
        kind = "" if error["type"] == "missing" else f" (got {type(error['input']).__name__})"
        lines.append(f"{where}: {error['msg']}{kind}")
    return "; ".join(lines)


def _not_installed(exc: ModuleNotFoundError, step: str, extras: tuple[str, ...]) -> Exception:
    name = exc.name or str(exc)
    if name.partition(".")[0] == "airflow_mlops_provider":
        return BugError(f"step {step!r}: {exc}")
    tools = f"[{','.join(extras)}]" if extras else ""
    return InputError(
        f"step {step!r} needs {name!r}, which is not installed in {sys.executable}; "
        f"what the step itself needs comes with: pip install 'airflow-mlops-provider{tools}'"
    )


def _kind(exc: BaseException) -> FaultKind:
    """Return an exception's kind; a server or disk that failed anywhere in its chain is transient."""
    known = next((kind for of, kind in _KINDS if isinstance(exc, of)), None)
    if known is not None:
        return known
    link: BaseException | None = exc
    while link is not None:
        if isinstance(link, OSError) and not isinstance(link, _LASTING):
            return "transient"
        link = link.__cause__ or link.__context__
    status = getattr(exc, "get_http_status_code", None)
    return "transient" if callable(status) and status() >= _SERVER_ERROR else "bug"


def _fault(exc: BaseException, request: Request) -> Outcome:
    kind = _kind(exc)
    own = kind != "bug" and exc.__cause__ is None
    error = str(exc) if kind != "bug" else f"{type(exc).__name__}: {exc}"
    trace = "" if own else "".join(traceback.format_exception(exc))
    return fault(kind, redacted(error, request.connections), redacted(trace, request.connections))

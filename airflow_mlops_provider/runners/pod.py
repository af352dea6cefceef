"""Main of a pod: `python -m airflow_mlops_provider.runners.pod`. The request is in the environment.

MLOPS_REQUEST is the request, MLOPS_POD the name of the pod. Where there are such, MLOPS_CONNECTIONS is a file,
MLOPS_CODE says where the zip of the bundle is, MLOPS_PRICE what the devices cost, MLOPS_UNPAID what pods before this
one used and did not tell.

The outcome goes to the lake first, then into the termination message: whoever finds the pod reads it there, and
whoever finds no pod any more reads the lake. Of several workers (RANK of WORLD_SIZE) the first one does so; another
one only where it failed, under a name of its own.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from airflow_mlops_provider.contracts.pod import OUTCOME_FOLDER
from airflow_mlops_provider.contracts.protocol import EXIT_CODES, Message, Outcome, ProtocolError, Request, decode
from airflow_mlops_provider.exceptions import InputError
from airflow_mlops_provider.runners.base import fault, redacted
from airflow_mlops_provider.runners.execute import execute
from airflow_mlops_provider.runners.pod_workers import worker_name
from airflow_mlops_provider.runners.stopping import until_stopped
from airflow_mlops_provider.runners.usage import Meter, Usage
from airflow_mlops_provider.steps.workers import this_worker

__all__ = ["main", "outcome_path"]

# Kubernetes keeps that much of a termination message.
_MESSAGE_BYTES = 4096
_TERMINATION_LOG = "/dev/termination-log"


def outcome_path(pod: str) -> str:
    """Return where below the lake's root a pod writes its outcome."""
    return f"{OUTCOME_FOLDER}/{pod}.json"


def main(environment: Mapping[str, str], termination_log: str = _TERMINATION_LOG) -> NoReturn:
    """Answer the request and end the process with the outcome's exit code."""
    meter = Meter()
    request, rank = _request(environment), this_worker(environment).rank
    outcome = _answered(request, environment.get("MLOPS_CODE"))
    usage = meter.read()
    if rank == 0:
        path = _kept(request, outcome, environment["MLOPS_POD"])
        price, unpaid = (json.loads(environment.get(name, "null")) for name in ("MLOPS_PRICE", "MLOPS_UNPAID"))
        before = [(Usage(pod["seconds"], 0), pod["gpu"]) for pod in unpaid or ()]
        charged = _charge(request, outcome, [*before, (usage, price)])
        message = _message(outcome, path, usage, charged)
    elif outcome.status == "failed":
        message = _message(outcome, _kept(request, outcome, worker_name(environment["MLOPS_POD"], rank)), usage, False)
    else:
        # The outcome is the first worker's.
        message = json.dumps({"usage": usage.as_json()})
    Path(termination_log).write_text(message)
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


def _answered(request: Request, code: str | None) -> Outcome:
    if code is None:
        return until_stopped(lambda: execute(request, _show))
    return until_stopped(lambda: _with_code(request, json.loads(code)))


def _with_code(request: Request, code: Mapping[str, str]) -> Outcome:
    """Run the request on the pipeline's files as they were packed, whatever became of them since."""
    from airflow_mlops_provider.runners.bundle import fetch

    folder = tempfile.mkdtemp(prefix="bundle-")
    try:
        fetch(str(request.spec.get("lake", "")), code, folder, request.connections.get("lake_default"))
    except InputError as exc:
        return fault("bad_input", str(exc))
    except Exception as exc:  # noqa: BLE001  # of the lake's store or its client: the cause crosses as data
        return fault(
            "transient", redacted(f"the bundle did not come: {type(exc).__name__}: {exc}", request.connections)
        )
    return execute(replace(request, spec={**request.spec, "bundle": folder}), _show)


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
        text = redacted(f"{type(exc).__name__}: {exc}", request.connections)
        print(f"the outcome could not be written to the lake: {text}", file=sys.stderr)
        return None
    return path


def _charge(request: Request, outcome: Outcome, pods: Iterable[tuple[Usage, Any]]) -> bool:
    """Add what the pods of a training used to its MLflow run, also where it was stopped; return whether it is there.

    Where it fails, the log says so.
    """
    if request.step != "train":
        return True
    from airflow_mlops_provider.steps.context import StepContext
    from airflow_mlops_provider.steps.cost import record_cost, unfinished_run

    context = StepContext(request.run_key, request.connections)
    try:
        model = request.spec["model"]
        experiment = request.spec.get("experiment") or model
        run_id = (outcome.result or {}).get("run_id") or unfinished_run(context, experiment)
        for usage, gpu in pods if run_id else ():
            record_cost(context, str(run_id), model=model, gpu=gpu, **usage.as_json())
    except Exception as exc:  # noqa: BLE001  # a training's end does not hang on its bill
        text = redacted(f"{type(exc).__name__}: {exc}", request.connections)
        print(f"what the run used could not be recorded: {text}", file=sys.stderr)
        return False
    return bool(run_id)


def _message(outcome: Outcome, path: str | None, usage: Usage, charged: bool) -> str:
    data: dict[str, Any] = {"path": path, "usage": usage.as_json(), "charged": charged}
    whole = json.dumps({**data, "outcome": json.loads(outcome.encode())})
    return whole if len(whole.encode()) <= _MESSAGE_BYTES or path is None else json.dumps(data)


if __name__ == "__main__":
    main(os.environ)

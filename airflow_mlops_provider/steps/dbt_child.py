"""The process that dbt runs in: dbt keeps its DuckDB connection, and with it the lock, until its process ends.

`python -m airflow_mlops_provider.steps.dbt_child`: a request of the process protocol on standard input, messages
and one outcome on standard output.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO
from zoneinfo import ZoneInfo

from airflow_mlops_provider.contracts.base import Json
from airflow_mlops_provider.contracts.protocol import EXIT_CODES, Message, Outcome, Request, decode
from airflow_mlops_provider.contracts.transform import NodeResult, TransformSpec
from airflow_mlops_provider.exceptions import DataError, InputError, TransientError
from airflow_mlops_provider.steps.lake import Lake

__all__ = ["FAILED", "build", "main"]

FAILED = frozenset({"error", "fail", "runtime error", "partial success"})
_QUIET = [
    "--quiet",
    "--log-level=none",
    "--log-level-file=info",
    "--no-use-colors",
    "--no-send-anonymous-usage-stats",
    "--no-version-check",
]


def main() -> NoReturn:
    """Read the request, answer with one outcome, and end without waiting for what dbt left open."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what dbt or a model prints is no message
    outcome = _outcome(sys.stdin.readline(), channel)
    channel.write(outcome.encode() + "\n")
    channel.flush()
    os._exit(EXIT_CODES[outcome.status])


def build(spec: TransformSpec, lake: Lake, folder: Path, say: Callable[[str], None]) -> Json:
    """Parse the project, pin its sources, build it, and return `nodes`, `relations` by model, and `versions`.

    dbt's target and log folders lie in `folder`. Raises DataError where dbt refuses the project or `select`
    matches nothing; nodes that failed are in the result.
    """
    from dbt.cli.main import dbtRunner

    from airflow_mlops_provider.steps.dbt_lake import pin

    given = _arguments(spec, folder)
    parsed = dbtRunner().invoke(["parse", *given])
    _refuse(parsed, spec)
    versions = pin(lake, parsed.result)
    select = ["--select", *spec.select.split()] if spec.select else []
    built = dbtRunner(manifest=parsed.result, callbacks=[_live(say)]).invoke(
        ["build", *given, *select, f"--threads={spec.threads}"]
    )
    if built.result is None:
        _refuse(built, spec)
    results = list(built.result or [])
    if not results:
        raise DataError(f"{spec.project_dir}: select {spec.select!r} matches no node of the dbt project")
    models = [r.node for r in results if r.node.resource_type == "model"]
    return {
        "nodes": [_node(result).model_dump(mode="json") for result in results],
        "relations": {node.name: node.relation_name for node in models},
        "versions": versions,
    }


def _outcome(line: str, channel: TextIO) -> Outcome:
    request = decode(line)
    if not isinstance(request, Request):
        raise TypeError(f"a request was expected, not a {type(request).__name__}")

    def say(text: str) -> None:
        channel.write(Message(text).encode() + "\n")

    try:
        spec = TransformSpec.model_validate(request.spec)
        lake = Lake(spec.lake, request.connections.get("lake_default"))
        return Outcome("succeeded", result=build(spec, lake, Path(os.environ["MLOPS_WAREHOUSE"]).parent, say))
    except InputError as exc:
        return Outcome("failed", kind="bad_input", error=str(exc))
    except TransientError as exc:
        return Outcome("failed", kind="transient", error=str(exc))
    except Exception as exc:  # noqa: BLE001  # crosses to the parent as data, with its trace
        return Outcome("failed", kind="bug", error=f"{type(exc).__name__}: {exc}", trace=traceback.format_exc())


def _arguments(spec: TransformSpec, folder: Path) -> list[str]:
    project = str((Path(spec.bundle) / spec.project_dir).resolve())
    return [
        *_QUIET,
        f"--project-dir={project}",
        f"--profiles-dir={project}",
        f"--target-path={folder / spec.pipeline / 'target'}",
        f"--log-path={folder / spec.pipeline / 'logs'}",
        f"--vars={json.dumps({**spec.vars, **_batch_vars(spec)})}",
    ]


def _batch_vars(spec: TransformSpec) -> dict[str, str]:
    if spec.batch is None:
        return {}
    zone = ZoneInfo(spec.batch.timezone)
    return {
        "batch_id": spec.batch.id,
        "batch_start": spec.batch.start.astimezone(zone).isoformat(),
        "batch_end": spec.batch.end.astimezone(zone).isoformat(),
        "timezone": spec.batch.timezone,
    }


def _refuse(answer: Any, spec: TransformSpec) -> None:
    if not answer.success:
        raise DataError(f"{spec.project_dir}: dbt refuses the project: {answer.exception}") from answer.exception


def _node(result: Any) -> NodeResult:
    return NodeResult(
        name=result.node.name,
        kind=str(result.node.resource_type),
        status=str(result.status),
        seconds=round(result.execution_time, 3),
        failures=result.failures or 0,
        message=(result.message or "").strip() if str(result.status) in FAILED else "",
    )


def _live(say: Callable[[str], None]) -> Callable[[Any], None]:
    def on_event(event: Any) -> None:
        if event.info.name != "NodeFinished":
            return
        node, seconds = event.data.node_info, event.data.run_result.execution_time
        if node.resource_type != "test" or node.node_status in FAILED:
            say(f"{node.resource_type} {node.node_name}: {node.node_status}, {seconds:.2f} s")

    return on_event


if __name__ == "__main__":
    main()

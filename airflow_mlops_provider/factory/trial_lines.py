"""What a step's result says, in one line for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_mlops_provider.contracts.base import Json

__all__ = ["line_of"]


def line_of(task_id: str, result: Any) -> str:  # what a task returned: JSON, or nothing
    """Return one line of a step's result; empty where there is nothing to say."""
    found = _LINES.get(task_id)
    return found(result) if found and isinstance(result, dict) else ""


def _ingest(result: Json) -> str:
    return "; ".join(f"{name}: {one['rows']:,} rows" for name, one in result["datasets"].items())


def _validate(result: Json) -> str:
    return "; ".join(
        f"{name}: {one['rows'] - one['quarantined']:,} rows accepted, {one['quarantined']:,} in quarantine"
        for name, one in result["datasets"].items()
    )


def _transform(result: Json) -> str:
    built = f"{len(result['nodes'])} nodes"
    return "; ".join([built, *(f"{name}: {rows:,} rows" for name, rows in result["rows"].items())])


def _materialize(result: Json) -> str:
    return "; ".join(f"{name}: {rows:,} rows" for name, rows in result["rows"].items())


def _train(result: Json) -> str:
    refit = ", fitted once more on all" if result.get("refit_run_id") else ""
    return f"fitted on {result['rows']:,} rows, {result['holdout_rows']:,} held out{refit}"


def _evaluate(result: Json) -> str:
    return f"{result['verdict']}: {result['reason']}; {_metrics(result['metrics'])} on {result['rows']:,} rows"


def _register(result: Json) -> str:
    return f"version {result['version']}"


def _promote(result: Json) -> str:
    return f"version {result['promotion']['version']} is champion"


def _score(result: Json) -> str:
    parts = [f"{one['batch']}: {one['rows']:,} predictions by version {one['version']}" for one in result["batches"]]
    if result["no_champion"]:
        parts.append(f"no champion for {', '.join(result['no_champion'])}")
    return "; ".join(parts) or "nothing new to score"


def _drift(result: Json) -> str:
    return _of_batches(
        result,
        lambda one: f"{len(one['drifted'])} of {len(one['columns'])} columns drifted{_named(one['drifted'])}",
    )


def _named(columns: Iterable[str]) -> str:
    return f" ({', '.join(columns)})" if columns else ""


def _performance(result: Json) -> str:
    lines = _of_batches(
        result, lambda one: f"{_metrics(one['metrics'])} on {one['labelled']:,} of {one['rows']:,} rows".lstrip()
    )
    waiting = [one["batch"] for one in result["estimated"]]
    return "; ".join(filter(None, [lines, f"no outcome yet of {', '.join(waiting)}" if waiting else ""]))


def _of_batches(result: Json, say: Callable[[Json], str]) -> str:
    if result["no_champion"]:
        return "no champion yet"
    return "; ".join(f"{one['batch']}: {say(one)}" for one in result["batches"]) or "nothing new to look at"


def _decide(result: Json) -> str:
    found = result["decisions"]
    return f"{found[-1]['batch']}: {found[-1]['decision']}: {found[-1]['reason']}" if found else "nothing to decide on"


def _rollback(result: Json) -> str:
    return str(result["reason"])


def _metrics(metrics: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {one['value']:.4f}" for name, one in metrics.items())


_LINES: dict[str, Callable[[Json], str]] = {
    "ingest": _ingest,
    "validate": _validate,
    "transform": _transform,
    "materialize": _materialize,
    "train": _train,
    "evaluate": _evaluate,
    "register": _register,
    "promote": _promote,
    "score": _score,
    "drift": _drift,
    "performance": _performance,
    "rollback": _rollback,
    "decide": _decide,
}

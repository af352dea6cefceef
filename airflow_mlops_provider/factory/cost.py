"""What trainings cost, from the command line: MLflow's figures, without Airflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_mlops_provider.factory.connections import connections_for
from airflow_mlops_provider.steps.context import StepContext

__all__ = ["cost_text", "model_costs"]

_HEAD = ("model", "version", "run", "started", "gpu", "hours", "peak GiB", "cost")
_WIDTHS = (16, 7, 32, 16, 8, 6, 8, 8)


def model_costs(
    model: str | None = None, *, lake: str | None = None, environ: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return `steps.cost.costs` of the MLflow that a local run has. Raises ConfigError or DataError."""
    from airflow_mlops_provider.steps.cost import costs

    root = lake or ".mlops/lake"
    root = root if "://" in root else str(Path(root).resolve())
    found = connections_for(set(), os.environ if environ is None else environ, root)
    return costs(StepContext("cost", found), model)


def cost_text(rows: list[dict[str, Any]]) -> str:
    """Return a table of the runs, and a line for each model."""
    if not rows:
        return "no run has its cost recorded; training in a pod records it"
    lines = [_line(_HEAD), *(_line(_cells(row)) for row in rows)]
    for model in sorted({row["model"] for row in rows}):
        own = [row for row in rows if row["model"] == model]
        priced = [row["cost"] for row in own if row["cost"] is not None]
        total = f"cost {sum(priced):.2f}" if priced else "no price"
        some = f" of {len(priced)} of them" if 0 < len(priced) < len(own) else ""
        lines.append(f"{model}: {len(own)} run{'s' if len(own) > 1 else ''}, {total}{some}")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["model"],
        row["version"] or "-",
        row["run_id"],
        row["started"][:16].replace("T", " "),
        row["gpu"] or "-",
        f"{row['seconds'] / 3600:.3f}",
        "-" if row["peak_memory_gib"] is None else f"{row['peak_memory_gib']:.1f}",
        "-" if row["cost"] is None else f"{row['cost']:.2f}",
    )


def _line(cells: tuple[str, ...]) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()

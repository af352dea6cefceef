"""Every step by name: its spec, its result and the function, imported only when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from airflow_mlops_provider.contracts.base import Contract, StepSpec
from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["STEPS", "Step", "step"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step's three dotted names; `extras` are the optional tools that it imports."""

    name: str
    spec_path: str
    result_path: str
    run_path: str
    extras: tuple[str, ...] = ()

    @property
    def spec(self) -> type[StepSpec]:
        """The pydantic model of the step's input."""
        return _load(self.spec_path)  # type: ignore[no-any-return]  # named in this table

    @property
    def result(self) -> type[Contract]:
        """The pydantic model of the step's output."""
        return _load(self.result_path)  # type: ignore[no-any-return]  # named in this table

    @property
    def run(self) -> Callable[..., Contract]:
        """The function `(spec, context) -> result`."""
        return _load(self.run_path)  # type: ignore[no-any-return]  # named in this table


def _ours(name: str, contract: str, stem: str, *extras: str, module: str | None = None) -> Step:
    """Return a step of this package; `module` where its function does not lie in its contract's module."""
    base = "airflow_mlops_provider"
    return Step(
        name,
        f"{base}.contracts.{contract}:{stem}Spec",
        f"{base}.contracts.{contract}:{stem}Result",
        f"{base}.steps.{module or contract}:{name}",
        extras,
    )


STEPS: dict[str, Step] = {
    s.name: s
    for s in (
        _ours("ingest", "ingest", "Ingest", "lake"),
        _ours("validate", "validate", "Validate", "lake"),
        _ours("transform", "transform", "Transform", "lake", "dbt"),
        _ours("materialize", "materialize", "Materialize", "lake", "feast"),
        _ours("train", "train", "Train", "lake", "mlflow"),
        _ours("evaluate", "evaluate", "Evaluate", "lake", "mlflow"),
        _ours("register", "promote", "Register", "mlflow"),
        _ours("promote", "promote", "Promote", "lake", "mlflow"),
        _ours("rollback", "promote", "Rollback", "lake", "mlflow", module="rollback"),
        _ours("score", "score", "Score", "lake", "mlflow"),
        _ours("drift", "monitor", "Drift", "lake", module="drift"),
        _ours("performance", "monitor", "Performance", "lake", module="performance"),
        _ours("decide", "decide", "Decide", "lake"),
        _ours("simulate", "simulate", "Simulate", "lake"),
        _ours("adopt", "adopt", "Adopt", "lake", "mlflow"),
        _ours("maintain", "maintain", "Maintain", "lake"),
        _ours("show", "show", "Show", "lake"),
    )
}


def step(name: str) -> Step:
    """Return a step of this package or of the entry-point group `airflow_mlops.steps`.

    Raises ConfigError if no step has this name.
    """
    if name in STEPS:
        return STEPS[name]
    for point in entry_points(group="airflow_mlops.steps", name=name):
        return point.load()  # type: ignore[no-any-return]  # a third party's Step
    raise ConfigError(f"no step {name!r}; known: {', '.join(STEPS)}")


def _load(path: str) -> Any:  # whatever the table names
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)

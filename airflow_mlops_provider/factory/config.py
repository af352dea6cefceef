"""What the people who run Airflow allow and set: `[mlops]` of airflow.cfg, or AIRFLOW__MLOPS__* alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

__all__ = ["FactoryConfig"]


@dataclass(frozen=True, slots=True)
class FactoryConfig:
    """Settings and allow-lists. An empty allow-list means: own bundle only, no interpreter, no connection.

    `allowed_modules` are dotted prefixes that `python_callable`, `estimator` and `notifier` may name besides
    the bundle's own files. `allowed_roots` are folders or addresses outside the bundle. `*` in
    `allowed_connections` allows every connection id.
    """

    environment: str | None = None
    lake: str | None = None
    allowed_modules: tuple[str, ...] = ()
    allowed_interpreters: tuple[str, ...] = ()
    allowed_roots: tuple[str, ...] = ()
    allowed_connections: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, str | None]) -> FactoryConfig:
        """Return the settings of `[mlops]`, given as text; lists are separated by commas."""
        values: dict[str, str | tuple[str, ...]] = {}
        for field in fields(cls):
            text = options.get(field.name)
            if text:
                listed = field.name.startswith("allowed_")
                values[field.name] = tuple(t.strip() for t in text.split(",") if t.strip()) if listed else text
        return cls(**values)  # type: ignore[arg-type]  # by name, above

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> FactoryConfig:
        """Return the settings of AIRFLOW__MLOPS__ENVIRONMENT, AIRFLOW__MLOPS__LAKE and so on, without Airflow."""
        environ = os.environ if environ is None else environ
        return cls.of({f.name: environ.get(f"AIRFLOW__MLOPS__{f.name.upper()}") for f in fields(cls)})

"""What the people who run Airflow allow and set: `[mlops]` of airflow.cfg, or AIRFLOW__MLOPS__* alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

__all__ = ["ElsewhereConfig", "FactoryConfig"]


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

    def allows_module(self, dotted: str) -> bool:
        """Return whether a dotted name that is not the bundle's own may be named."""
        return any(dotted == p or dotted.startswith(f"{p.rstrip('.')}.") for p in self.allowed_modules)

    def allows_interpreter(self, path: str) -> bool:
        """Return whether steps may run in this interpreter."""
        return path in self.allowed_interpreters

    def allows_connection(self, conn_id: str) -> bool:
        """Return whether a connection may be named."""
        return bool({conn_id, "*"} & set(self.allowed_connections))

    def allows_root(self, path: str) -> bool:
        """Return whether a path outside the bundle may be named."""
        roots = [root.rstrip("/") for root in self.allowed_roots]
        return any(path == root or path.startswith(f"{root}/") for root in roots)

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


class ElsewhereConfig(FactoryConfig):
    """The settings of another Airflow than this one. Nobody here knows its allow-lists: it will apply them itself."""

    def allows_module(self, dotted: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def allows_interpreter(self, path: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def allows_connection(self, conn_id: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def allows_root(self, path: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True

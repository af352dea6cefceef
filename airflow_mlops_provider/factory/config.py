"""What the people who run Airflow allow and set: `[mlops]` of airflow.cfg, or AIRFLOW__MLOPS__* alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["ElsewhereConfig", "FactoryConfig"]


@dataclass(frozen=True, slots=True)
class FactoryConfig:
    """Settings and allow-lists. An empty allow-list means: own bundle only, no interpreter, no connection.

    `allowed_modules` are dotted prefixes that `python_callable`, `estimator` and `notifier` may name besides
    the bundle's own files. `allowed_roots` are folders or addresses outside the bundle. `*` in
    `allowed_connections` allows every connection id. `allowed_images` are prefixes of images, such as `acme/`: none,
    no pod. `allowed_namespaces` and `allowed_service_accounts` are those that a pod may name; it may leave both to
    the cluster. `gpu_classes` is the JSON of the classes that it may name.
    """

    # Whether these are the settings of where the file is judged.
    judges: ClassVar[bool] = True

    environment: str | None = None
    lake: str | None = None
    allowed_modules: tuple[str, ...] = ()
    allowed_interpreters: tuple[str, ...] = ()
    allowed_roots: tuple[str, ...] = ()
    allowed_connections: tuple[str, ...] = ()
    allowed_images: tuple[str, ...] = ()
    allowed_namespaces: tuple[str, ...] = ()
    allowed_service_accounts: tuple[str, ...] = ()
    gpu_classes: str | None = None

    def allows_module(self, dotted: str) -> bool:
        """Return whether a dotted name that is not the bundle's own may be named."""
        return not self.judges or any(
            dotted == p or dotted.startswith(f"{p.rstrip('.')}.") for p in self.allowed_modules
        )

    def allows_interpreter(self, path: str) -> bool:
        """Return whether steps may run in this interpreter."""
        return not self.judges or path in self.allowed_interpreters

    def allows_connection(self, conn_id: str) -> bool:
        """Return whether a connection may be named."""
        return not self.judges or bool({conn_id, "*"} & set(self.allowed_connections))

    def allows_root(self, path: str) -> bool:
        """Return whether a path outside the bundle may be named."""
        roots = [root.rstrip("/") for root in self.allowed_roots]
        return not self.judges or any(path == root or path.startswith(f"{root}/") for root in roots)

    def allows_image(self, image: str) -> bool:
        """Return whether pods may run this image."""
        return not self.judges or any(_begins(image, prefix) for prefix in self.allowed_images)

    def allows_namespace(self, name: str) -> bool:
        """Return whether pods may be made in this namespace."""
        return not self.judges or name in self.allowed_namespaces

    def allows_service_account(self, name: str) -> bool:
        """Return whether pods may act as this service account."""
        return not self.judges or name in self.allowed_service_accounts

    def knows_gpu_class(self, name: str) -> bool:
        """Return whether there is such a class. Raises ConfigError where the setting is no JSON object."""
        return not self.judges or name in self.gpu_class_names()

    def gpu_class_names(self) -> list[str]:
        """Return the classes' names. Raises ConfigError where the setting is no JSON object."""
        try:
            found = json.loads(self.gpu_classes or "{}")
        except ValueError as exc:
            raise ConfigError(f"[mlops] gpu_classes is not JSON: {exc}") from exc
        if not isinstance(found, dict):
            raise ConfigError("[mlops] gpu_classes is not a JSON object of classes by name")
        return sorted(found)

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


def _begins(image: str, prefix: str) -> bool:
    # `acme.io` must not let `acme.io.example.com/x` through.
    rest = image.removeprefix(prefix)
    return image.startswith(prefix) and (not rest or prefix[-1:] in "/:@" or rest[0] in "/:@")


class ElsewhereConfig(FactoryConfig):
    """The settings of another Airflow than this one. Nobody here knows its allow-lists: it will apply them itself."""

    judges = False

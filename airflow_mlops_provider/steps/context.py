"""What a step knows beside its spec: the lake, connections, progress, and the user's code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.base import StepSpec
from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.lake import Lake

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["StepContext", "load_function"]


def _show(message: Message) -> None:
    print(message.text)


@dataclass(frozen=True)
class StepContext:
    """Given to each step. `run_key` is the same for every try of the same work.

    `connections` maps a connection id to Airflow's fields (conn_type, host, login, password, schema, port,
    extra as a dict). `emit` takes messages for the task's log.
    """

    run_key: str
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    emit: Callable[[Message], None] = field(default=_show, repr=False)
    seed: int = 0

    def say(self, text: str, progress: float | None = None) -> None:
        """Show a line, and how far the step is (0 to 1), in the task's log."""
        self.emit(Message(text, progress=progress))

    def connection(self, conn_id: str) -> Mapping[str, Any]:
        """Return a connection's fields. Raises ConfigError if it was not handed to this step."""
        try:
            return self.connections[conn_id]
        except KeyError:
            raise ConfigError(
                f"connection {conn_id!r} was not handed to this step; known: {sorted(self.connections)}"
            ) from None

    def sqlalchemy_url(self, conn_id: str) -> URL:
        """Return a connection as SQLAlchemy's URL, which hides the password when it is shown.

        `extra.driver` may name the driver, such as `psycopg`. Raises ConfigError if there is no such connection.
        """
        from sqlalchemy import URL

        fields = self.connection(conn_id)
        dialect = {"postgres": "postgresql"}.get(str(fields["conn_type"]), str(fields["conn_type"]))
        driver = (fields.get("extra") or {}).get("driver")
        return URL.create(
            f"{dialect}+{driver}" if driver else dialect,
            username=fields.get("login"),
            password=fields.get("password"),
            host=fields.get("host") if dialect != "sqlite" else None,
            port=fields.get("port"),
            database=fields.get("schema") if dialect != "sqlite" else fields.get("host") or fields.get("schema"),
        )

    def storage_options(self, conn_id: str) -> dict[str, Any]:
        """Return a connection as fsspec's options: `extra`, and login, password and region under S3's names."""
        fields = self.connection(conn_id)
        extra = dict(fields.get("extra") or {})
        region = extra.pop("region_name", None)
        named = {
            "key": fields.get("login"),
            "secret": fields.get("password"),
            "client_kwargs": {**extra.get("client_kwargs", {}), "region_name": region} if region else None,
        }
        return {**extra, **{key: value for key, value in named.items() if value}}

    def lake(self, spec: StepSpec) -> Lake:
        """Return the lake that the spec names."""
        return Lake(spec.lake, self.connections.get("lake_default"))

    @property
    def tracking_uri(self) -> str:
        """MLflow's address: the `host` of connection `mlflow_default`."""
        return str(self.connection("mlflow_default")["host"])


def load_function(dotted: str, bundle: str) -> Callable[..., Any]:
    """Return `module.function` from the bundle's own files.

    The allow-list of module prefixes is checked where the YAML is read; here the bundle's root goes first
    on the path. Raises DataError if the name cannot be imported or is not callable.
    """
    module, _, name = dotted.rpartition(".")
    root = str(Path(bundle).resolve())
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise DataError(f"{dotted}: cannot be imported from {root}: {exc}") from exc
    if not callable(found):
        raise DataError(f"{dotted} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]  # whatever the user wrote

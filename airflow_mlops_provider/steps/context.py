"""What a step knows beside its spec: the lake, connections, progress, and the user's code."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.base import StepSpec
from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import ConfigError, DataError
from airflow_mlops_provider.steps.checkpoint import Checkpoint
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.networks import device

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["StepContext", "TrainingContext", "load_function"]


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


class _Pace:
    """How long an epoch takes, by those that were told."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def left_s(self, epoch: int, of: int) -> float | None:
        """Return the seconds until epoch `of` ends; None at the first one told, which says nothing yet."""
        now = time.monotonic()
        self._first = self._first or (epoch, now)
        done = epoch - self._first[0]
        return (now - self._first[1]) / done * (of - epoch) if done > 0 else None


def _unrecorded(metrics: Mapping[str, float], step: int | None) -> None:
    """Record nowhere: a function that is tried out has no run."""


@dataclass(frozen=True)
class TrainingContext(StepContext):
    """The context of a training function: a parameter of that name gets it.

    To try a function by hand: `TrainingContext("try", checkpoint=Checkpoint(Lake("lake"), "try"))`. `record` takes
    metrics and their step; in a training they go to its MLflow run. This process is worker `rank` of `workers`, each
    of which runs the function; what any but the first (0) records or keeps goes nowhere.
    """

    checkpoint: Checkpoint = field(kw_only=True)
    rank: int = field(default=0, kw_only=True)
    workers: int = field(default=1, kw_only=True)
    record: Callable[[Mapping[str, float], int | None], None] = field(default=_unrecorded, kw_only=True, repr=False)
    _pace: _Pace = field(default_factory=_Pace, init=False, repr=False)

    @property
    def device(self) -> str:
        """Return PyTorch's name of the device to compute on, such as `cuda:0`, `mps` or `cpu`.

        Raises MissingExtraError without PyTorch, ConfigError where a GPU was asked for and PyTorch sees none.
        """
        return device(self.seed)

    @property
    def stopping(self) -> bool:
        """Whether SIGTERM came: `checkpoint.save` now, which then ends the function.

        A function that looks at this is not ended by SIGTERM elsewhere, so look more often than the grace period.
        """
        return self.checkpoint.stop.came()

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a metric in the training's MLflow run."""
        self.record({name: float(value)}, step)

    def progress(self, epoch: int, of: int, **metrics: float) -> None:
        """Tell that `epoch` of 1 to `of` is done: a line with the time left, and the metrics in MLflow at that step."""
        left = self._pace.left_s(epoch, of)
        parts = [f"epoch {epoch}/{of}", *(f"{name} {float(value):.4g}" for name, value in metrics.items())]
        parts += [] if left is None else [f"{timedelta(seconds=round(left))} left"]
        self.say(", ".join(parts), progress=epoch / of)
        if metrics:
            self.record({name: float(value) for name, value in metrics.items()}, epoch)


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

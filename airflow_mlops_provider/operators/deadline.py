"""A run that is not done in time: who is told, from Airflow's triggerer, where its deadlines are answered."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["tell_missed"]

# The path and the modules are the whole process's, and each notifier is called in a thread.
_LOCK = threading.Lock()


async def tell_missed(*, notifier: str, arguments: dict[str, Any], pipeline: str, context: dict[str, Any]) -> None:
    """Call a notifier, named by its class, with `mlops` in its context: pipeline, event `missed_deadline`, message.

    Airflow's context of a deadline is small: `dag_run`, a mapping, and `deadline`. The class may be one of the run's
    DAG bundle, where the triggerer has that. What goes wrong is raised, and is then the callback's state in Airflow.
    """
    run = context["dag_run"]
    message = f"run {run['dag_run_id']} of {run['dag_id']} was not done by {context['deadline']['deadline_time']}"
    news = {"pipeline": pipeline, "event": "missed_deadline", "message": message}
    # In a thread: most notifiers wait for a server, and other triggers share this one.
    await asyncio.to_thread(_tell, notifier, arguments, {**context, "mlops": news})


def _tell(notifier: str, arguments: dict[str, Any], context: dict[str, Any]) -> None:
    module, _, name = notifier.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as exc:
        # Not a module that the found one wants.
        if not f"{module}.".startswith(f"{exc.name}."):
            raise
        with _LOCK, _importable(_folder_of(context["dag_run"])):
            found = getattr(import_module(module), name)
    found(**arguments)(context)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a bundle's modules be imported, and forget them: a triggerer serves every bundle, in each of its versions."""
    before = set(sys.modules)
    sys.path.append(str(folder))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            places = [getattr(sys.modules[name], "__file__", None), *getattr(sys.modules[name], "__path__", ())]
            if any(Path(place).resolve().is_relative_to(folder) for place in places if place):
                del sys.modules[name]


def _folder_of(run: Mapping[str, Any]) -> Path:
    """Return the bundle of a run at its version, which Airflow puts on the path of its tasks, not of a triggerer."""
    # Here and not above: a DAG file that is parsed names this module.
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    version = run["dag_versions"][-1]
    manager = DagBundlesManager()  # type: ignore[no-untyped-call]  # Airflow's own
    bundle = manager.get_bundle(version["bundle_name"], version["bundle_version"])
    bundle.initialize()
    # Of a YamlBundle the pipeline files' own folder: its path holds their loaders.
    return Path(getattr(bundle, "source", bundle.path)).resolve()

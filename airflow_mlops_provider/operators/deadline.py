"""A run that is not done in time: who is told, from Airflow's triggerer, where its deadlines are answered."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["tell_missed"]


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
        found = import_module(module)
    except ModuleNotFoundError:
        _let_import_from(context["dag_run"])
        found = import_module(module)
    getattr(found, name)(**arguments)(context)


def _let_import_from(run: Mapping[str, Any]) -> None:
    """Put the bundle of a run on the path, as Airflow does for its tasks; not for a triggerer."""
    # Here and not above: a DAG file that is parsed names this module.
    from airflow.dag_processing.bundles.manager import DagBundlesManager

    version = run["dag_versions"][-1]
    manager = DagBundlesManager()  # type: ignore[no-untyped-call]  # Airflow's own
    bundle = manager.get_bundle(version["bundle_name"], version["bundle_version"])
    bundle.initialize()
    # Of a YamlBundle the pipeline files' own folder: its path holds their loaders.
    folder = str(getattr(bundle, "source", bundle.path))
    if folder not in sys.path:
        sys.path.append(folder)

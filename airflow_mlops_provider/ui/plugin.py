"""The plugin behind the entry point `airflow.plugins`: the timetable, and the read-only pages.

A provider's own key `plugins` will not do: Airflow reads it only where `[core] lazy_load_providers` is off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.plugins_manager import AirflowPlugin

__all__ = ["MlopsPlugin"]


class _Lazy:
    """A class attribute made when it is asked for: every task's start reads the plugin, few need what is in it."""

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self.make = make

    def __get__(self, instance: object, owner: type) -> list[Any]:
        return self.make()


def _timetables() -> list[Any]:
    from airflow_mlops_provider.factory.timetable import BatchTimetable

    return [BatchTimetable]


def _apps() -> list[Any]:
    from airflow_mlops_provider.ui.app import pages

    return [{"app": pages(), "url_prefix": "/mlops", "name": "MLOps"}]


class MlopsPlugin(AirflowPlugin):
    """What Airflow cannot find by a class's name alone."""

    name = "mlops"
    timetables = _Lazy(_timetables)
    fastapi_apps = _Lazy(_apps)

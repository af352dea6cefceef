"""Hook of the lake: Delta tables under one root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, conf

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.hooks.connection import afind_fields, find_fields

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.lake import Lake

__all__ = ["LakeHook", "default_lake"]


def default_lake() -> str:
    """Return `[mlops] lake` of airflow.cfg. Raises ConfigError where it is not set."""
    found = conf.get("mlops", "lake", fallback=None)
    if not found:
        raise ConfigError("no lake: set [mlops] lake in airflow.cfg (AIRFLOW__MLOPS__LAKE), or give `lake=`")
    return str(found)


class LakeHook(BaseHook):
    """The lake behind an optional connection of type `mlops_lake` (or `aws`): a local folder needs none.

    `lake` overrides the root; else the connection's extra `root`, else `[mlops] lake` of airflow.cfg. `login`
    and `password` are the store's access key and secret; extra `endpoint_url`, `region_name`.
    """

    conn_name_attr = "lake_conn_id"
    default_conn_name = "lake_default"
    conn_type = "mlops_lake"
    hook_name = "MLOps lake"

    def __init__(self, lake_conn_id: str = default_conn_name, lake: str | None = None) -> None:
        super().__init__()
        self.lake_conn_id = lake_conn_id
        self.lake = lake

    def fields(self) -> dict[str, Any] | None:
        """Return the connection's fields, or None where Airflow knows no such connection."""
        return find_fields(self.lake_conn_id)

    def root(self) -> str:
        """Return the lake's root. Raises ConfigError where none is set."""
        return self._root(self.fields())

    def get_conn(self) -> Lake:
        """Return the lake. Needs the extra `lake`."""
        return self._lake(self.fields())

    async def aget_conn(self) -> Lake:
        """Return the lake, from inside an event loop."""
        return self._lake(await afind_fields(self.lake_conn_id))

    def version(self, table: str) -> int | None:
        """Return the newest version of a table, or None where no table is."""
        return self.get_conn().version(table)

    def test_connection(self) -> tuple[bool, str]:
        """Look for a table at the root; for Airflow's button, which shows what is raised."""
        self.get_conn().open("_")
        return True, "the lake answers"

    def _root(self, fields: dict[str, Any] | None) -> str:
        return str(self.lake or (fields or {"extra": {}})["extra"].get("root") or default_lake())

    def _lake(self, fields: dict[str, Any] | None) -> Lake:
        from airflow_mlops_provider.steps.lake import Lake

        return Lake(self._root(fields), fields)

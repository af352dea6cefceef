"""Hook of a Feast repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.hooks.connection import connection_fields

if TYPE_CHECKING:
    from feast import FeatureStore

__all__ = ["FeastHook"]


class FeastHook(BaseHook):
    """A Feast repository behind a connection of type `feast`: extra `feature_repo` is its folder.

    `feature_repo` given here needs no connection.
    """

    conn_name_attr = "feast_conn_id"
    default_conn_name = "feast_default"
    conn_type = "feast"
    hook_name = "Feast"

    def __init__(self, feast_conn_id: str = default_conn_name, feature_repo: str | None = None) -> None:
        super().__init__()
        self.feast_conn_id = feast_conn_id
        self.feature_repo = feature_repo

    def repository(self) -> Path:
        """Return the repository's folder. Raises ConfigError if it is not named or holds no feature_store.yaml."""
        folder = self.feature_repo or connection_fields(self.feast_conn_id)["extra"].get("feature_repo")
        if not folder or not (Path(folder) / "feature_store.yaml").is_file():
            raise ConfigError(
                f"connection {self.feast_conn_id!r}: extra feature_repo={folder!r} is no folder with feature_store.yaml"
            )
        return Path(folder)

    def get_conn(self) -> FeatureStore:
        """Return Feast's store. Needs the extra `feast`."""
        from feast import FeatureStore

        return FeatureStore(repo_path=str(self.repository()))

    def test_connection(self) -> tuple[bool, str]:
        """List the feature views; for Airflow's button, which shows what is raised."""
        views = self.get_conn().list_feature_views()
        return True, f"{len(views)} feature views"

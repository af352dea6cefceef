"""Hook of an MLflow tracking server and registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.hooks.connection import afind_fields, find_fields

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MlflowHook"]


class MlflowHook(BaseHook):
    """MLflow behind an Airflow connection of type `mlflow`.

    `host` is the tracking URI (`https://mlflow.example.com`, `sqlite:////srv/mlflow.db`); without a scheme,
    `schema` (default http), `host` and `port` make it. `login` and `password` are the basic credentials.
    Extra `ui_url`: the address that people open, where it is not the tracking URI.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id

    def fields(self) -> dict[str, Any]:
        """Return the connection's fields with the whole tracking URI as `host`.

        Raises ConfigError where Airflow knows no such connection, or it names no host.
        """
        return self._whole(find_fields(self.mlflow_conn_id))

    async def afields(self) -> dict[str, Any]:
        """Return what `fields` does, from inside an event loop."""
        return self._whole(await afind_fields(self.mlflow_conn_id))

    def _whole(self, fields: dict[str, Any] | None) -> dict[str, Any]:
        if fields is None or not fields["host"]:
            raise ConfigError(
                f"no connection {self.mlflow_conn_id!r} with a host: airflow connections add {self.mlflow_conn_id} "
                f"--conn-type mlflow --conn-host http://mlflow.example.com:5000"
            )
        if "://" in fields["host"]:
            return fields
        port = f":{fields['port']}" if fields["port"] else ""
        return {**fields, "host": f"{fields['schema'] or 'http'}://{fields['host']}{port}"}

    def ui_url(self) -> str:
        """Return the address of MLflow's own pages, empty where the tracking URI is no web address."""
        fields = self.fields()
        url = str(fields["extra"].get("ui_url") or fields["host"])
        return url.rstrip("/") if url.startswith(("http://", "https://")) else ""

    def get_conn(self) -> MlflowClient:
        """Return a client of the tracking server and the registry. Needs the extra `mlflow`."""
        return _client(self.fields())

    def alias_version(self, model: str, alias: str = "champion", fields: dict[str, Any] | None = None) -> str | None:
        """Return the version that a model's alias names, or None where model or alias is not there.

        `fields` are the connection's, where the caller has them already.
        """
        from mlflow.exceptions import MlflowException

        try:
            return str(_client(fields or self.fields()).get_model_version_by_alias(model, alias).version)
        except MlflowException as exc:
            if exc.error_code in _ABSENT:
                return None
            raise

    def test_connection(self) -> tuple[bool, str]:
        """Ask the server for one experiment; for Airflow's button, which shows what is raised."""
        self.get_conn().search_experiments(max_results=1)
        return True, "MLflow answers"


# A missing alias is an INVALID_PARAMETER_VALUE, a missing model a RESOURCE_DOES_NOT_EXIST.
_ABSENT = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}


def _client(fields: dict[str, Any]) -> MlflowClient:
    from mlflow import MlflowClient

    if fields["login"]:
        # MLflow's client takes credentials from the environment only.
        os.environ["MLFLOW_TRACKING_USERNAME"] = fields["login"]
        os.environ["MLFLOW_TRACKING_PASSWORD"] = fields["password"] or ""
    return MlflowClient(tracking_uri=fields["host"])

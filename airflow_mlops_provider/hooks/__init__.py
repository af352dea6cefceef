"""Connections: where Airflow's connections become what a step needs. Also the check of Airflow's version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError

__all__ = ["require_airflow"]

_LOWEST = (3, 2)
_BELOW = (4,)


def require_airflow() -> None:
    """Raise ConfigError unless Airflow >=3.2,<4 is installed here, MissingExtraError if none is."""
    try:
        found = version("apache-airflow")
    except PackageNotFoundError:
        raise MissingExtraError("apache-airflow", "airflow") from None
    numbers = tuple(int(part) for part in found.split(".")[:2])
    if not _LOWEST <= numbers < _BELOW:
        raise ConfigError(
            f"airflow-mlops-provider needs apache-airflow >=3.2,<4 and found {found}: "
            f"pip install 'airflow-mlops-provider[airflow]'"
        )

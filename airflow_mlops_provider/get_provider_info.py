"""What Airflow's provider manager reads about this package."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's literal description."""
    return {
        "package-name": "airflow-mlops-provider",
        "name": "MLOps",
        "description": "Runs a model's whole life from one YAML file.",
    }

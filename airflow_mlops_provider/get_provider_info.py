"""What Airflow's provider manager reads about this package."""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

_PACKAGE = "airflow_mlops_provider"
_NOUNS = ("ingest", "validate", "transform", "materialize", "train", "evaluate", "promote", "score", "monitor")


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description."""
    return {
        "package-name": "airflow-mlops-provider",
        "name": "MLOps",
        "description": "Runs a model's whole life from one YAML file.",
        "integrations": [
            {
                "integration-name": "MLOps",
                "tags": ["software"],
            }
        ],
        "operators": [_modules("operators", *_NOUNS, "decide", "maintain")],
        "sensors": [_modules("sensors", "dataset", "drift", "features", "labels", "model", "performance")],
        "hooks": [_modules("hooks", "feast", "lake", "mlflow")],
        "triggers": [_modules("triggers", "dataset", "model")],
        "connection-types": [_mlflow(), _lake(), _feast()],
        "extra-links": [
            f"{_PACKAGE}.operators.links.{name}"
            for name in ("DriftReportLink", "MonitoringLink", "MlflowRunLink", "ModelVersionLink", "QuarantineLink")
        ],
        "cli": [f"{_PACKAGE}.ui.command.commands"],
        "config": {"mlops": {"description": "Options of airflow-mlops-provider.", "options": _options()}},
    }


def _modules(folder: str, *nouns: str) -> dict[str, Any]:
    return {"integration-name": "MLOps", "python-modules": [f"{_PACKAGE}.{folder}.{noun}" for noun in nouns]}


def _mlflow() -> dict[str, Any]:
    return {
        "connection-type": "mlflow",
        "hook-class-name": f"{_PACKAGE}.hooks.mlflow.MlflowHook",
        "hook-name": "MLflow",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "port", "extra"],
            "relabeling": {"host": "Tracking URI"},
            "placeholders": {"host": "https://mlflow.example.com", "login": "where it asks for one"},
        },
        "conn-fields": {"ui_url": _text("Address of MLflow's pages", "where it is not the tracking URI")},
    }


def _lake() -> dict[str, Any]:
    return {
        "connection-type": "mlops_lake",
        "hook-class-name": f"{_PACKAGE}.hooks.lake.LakeHook",
        "hook-name": "MLOps lake",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port", "extra"],
            "relabeling": {"login": "Access key", "password": "Secret key"},
            "placeholders": {"login": "for an s3:// root"},
        },
        "conn-fields": {
            "root": _text("Root", "a folder or s3://bucket/prefix; default: [mlops] lake of airflow.cfg"),
            "endpoint_url": _text("Endpoint", "of an S3 store that is not AWS"),
            "region_name": _text("Region", "of the store"),
        },
    }


def _feast() -> dict[str, Any]:
    return {
        "connection-type": "feast",
        "hook-class-name": f"{_PACKAGE}.hooks.feast.FeastHook",
        "hook-name": "Feast",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port", "login", "password", "extra"],
            "relabeling": {},
            "placeholders": {},
        },
        "conn-fields": {"feature_repo": _text("Feature repository", "folder of feature_store.yaml")},
    }


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _options() -> dict[str, Any]:
    return {
        "lake": _option("Root of the lake: a folder or an s3:// address.", "s3://acme-ml"),
        "environment": _option("Which of a file's `environments` is laid over it.", "prod"),
        "allowed_modules": _option("Dotted prefixes besides the bundle's own that a file may name.", "acme.models"),
        "allowed_interpreters": _option("Interpreters that `runs_on` may name.", "/opt/tools/bin/python"),
        "allowed_roots": _option("Folders or addresses outside the bundle that a file may name.", "s3://acme-raw"),
        "allowed_connections": _option("Connection ids that a file may name; * for all.", "warehouse"),
        "allowed_images": _option("Prefixes of the images that pods may run; none, no pod.", "registry.acme.com/ml/"),
        "allowed_namespaces": _option("Namespaces that a pod may name.", "ml"),
        "allowed_service_accounts": _option("Service accounts that a pod may name.", "trainer"),
        "gpu_classes": _option(
            "JSON: kinds of accelerators by name, each with resource, node_selector, tolerations, price, on_demand.",
            '{"a100": {"resource": "nvidia.com/gpu", "node_selector": {"gpu": "a100"}}}',
        ),
    }


def _option(description: str, example: str) -> dict[str, Any]:
    return {"description": description, "version_added": "0.1.0", "type": "string", "example": example, "default": ""}

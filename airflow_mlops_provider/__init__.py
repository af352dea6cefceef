"""Airflow provider that runs a model's whole life from one YAML file."""

__version__ = "0.1.0"

"""The DAGs of late.yaml."""

from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))

"""The DAGs of flights.yaml, which lies beside this file."""

from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))

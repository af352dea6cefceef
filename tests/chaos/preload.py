"""What every chaos process needs, imported once by the server that they are forked from."""

import ibis.backends.duckdb  # noqa: F401
import mlflow.sklearn  # noqa: F401

from airflow_mlops_provider.steps import decide, maintain, promote, validate  # noqa: F401

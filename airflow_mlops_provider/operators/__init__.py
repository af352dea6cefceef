"""Operators: each runs one step through a runner and maps its outcome. Needs Airflow >=3.2,<4."""

from __future__ import annotations

from airflow_mlops_provider.hooks import require_airflow

require_airflow()

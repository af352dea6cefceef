"""Sensors: each waits for a state of tables, models or features. Needs Airflow >=3.2,<4."""

from __future__ import annotations

from airflow_mlops_provider.hooks import require_airflow

require_airflow()

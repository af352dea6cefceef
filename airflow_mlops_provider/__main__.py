"""`python -m airflow_mlops_provider` is `airflow-mlops`."""

from __future__ import annotations

import sys

from airflow_mlops_provider.cli import main

if __name__ == "__main__":
    sys.exit(main())

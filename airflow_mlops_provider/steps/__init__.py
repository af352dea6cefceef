"""The work: one function a step, a typed spec in, a typed result out. No Airflow."""

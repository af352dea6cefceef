"""`make demo`: the flights of 2013, month by month, through a real Airflow and MLflow."""

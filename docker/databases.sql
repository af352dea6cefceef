-- Airflow's own database is made by the image; MLflow gets one beside it.
CREATE DATABASE mlflow;

"""Pages and links inside Airflow's own UI; read-only."""

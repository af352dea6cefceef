"""A pipeline to begin with: from one CSV file, or from a template. No Airflow."""

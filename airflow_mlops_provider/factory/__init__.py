"""A pipeline's YAML file to strict models, to a plan, to DAGs. Only `build` and `timetable` need Airflow."""

"""Another team's DAG, which knows nothing of pipelines: it emits an asset."""

import pendulum
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, task

with DAG(
    "foreign",
    schedule=CronDataIntervalTimetable("@monthly", timezone="Europe/Berlin"),
    start_date=pendulum.datetime(2025, 1, 1, tz="Europe/Berlin"),
    end_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
):

    @task(outlets=[Asset("s3://acme/orders")])
    def export():
        return "written"

    export()

"""The demo's notifier: one JSON line an alert. Yours would be Airflow's Slack, e-mail or PagerDuty notifier."""

import json
from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import BaseNotifier


class FileNotifier(BaseNotifier):
    """Appends `{at, pipeline, event, message, link, dag_id, run_id, task_id}` to `path`, relative to the bundle."""

    template_fields = ("path",)

    def __init__(self, path, **kwargs):
        super().__init__(**kwargs)
        self.path = path

    def notify(self, context):
        task = context["ti"]
        line = {
            "at": datetime.now(UTC).isoformat(),
            # The plot is for those who can show pictures.
            **{key: text for key, text in context["mlops"].items() if key != "plot"},
            "dag_id": task.dag_id,
            "run_id": task.run_id,
            "task_id": task.task_id,
        }
        path = Path(__file__).resolve().parents[1] / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as sink:
            sink.write(json.dumps(line) + "\n")

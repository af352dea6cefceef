"""The few calls of Airflow's REST API that the demo needs."""

import time

import httpx

from include.demo.services import LOGIN

DONE = {"success", "failed"}


class AirflowApi:
    def __init__(self, url, login=LOGIN):
        self.url = url
        self.user = login
        self.client = httpx.Client(base_url=f"{url}/api/v2", timeout=30)
        self.login()

    def login(self):
        answer = httpx.post(f"{self.url}/auth/token", json=self.user, timeout=30)
        answer.raise_for_status()
        self.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method, path, **kwargs):
        answer = self.client.request(method, path, **kwargs)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self.login()
            answer = self.client.request(method, path, **kwargs)
        if answer.is_error:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def wait_for_dags(self, dag_ids, timeout_s=120):
        """Wait until the DAG processor has read them all; an import error ends the demo with its text."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors:
                raise SystemExit("\n".join(f"{e['filename']}: {e['stack_trace']}" for e in errors))
            known = {dag["dag_id"] for dag in self.call("GET", "/dags", params={"limit": 100})["dags"]}
            if set(dag_ids) <= known:
                return
            time.sleep(1)
        raise SystemExit(f"Airflow did not find {sorted(set(dag_ids) - known)}")

    def unpause(self, dag_id):
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id, logical_date):
        body = {"logical_date": logical_date.isoformat()}
        return self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]

    def runs(self, dag_id="~"):
        params = {"limit": 100, "order_by": "start_date"}
        found, offset = [], 0
        while True:
            page = self.call("GET", f"/dags/{dag_id}/dagRuns", params={**params, "offset": offset})
            found += page["dag_runs"]
            offset += len(page["dag_runs"])
            if not page["dag_runs"] or offset >= page["total_entries"]:
                return found

    def tasks(self, dag_id, run_id):
        return self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]

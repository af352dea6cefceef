"""A whole Airflow with an MLflow server, and what the tests ask of it."""

import shutil
import time
from pathlib import Path

import httpx

from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.promotions import PromotionLedger
from include.demo.airflow_api import DONE, AirflowApi
from include.demo.services import Services
from tests.live import data

ROLES = {"admin": "admin", "vera": "viewer", "uwe": "user"}
SETTINGS = {
    # A killed scheduler's tasks are taken over by the next one after that long.
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 10,
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 5,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 20,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 3,
    "MLOPS__ALLOWED_MODULES": "airflow.providers.standard",
}
DAGS = ["after-data", "careful-train", "foreign", "gate-train", "hasty-train", "late-data", "steady-data"]
DAGS += [f"{pipeline}-{section}" for pipeline in ("shop", "often") for section in ("data", "score", "monitor", "train")]
PATIENCE_S = 900


class LiveAirflow:
    def __init__(self, folder):
        self.bundle = folder / "bundle"
        shutil.copytree(Path(__file__).parent / "bundle", self.bundle, ignore=shutil.ignore_patterns("__pycache__"))
        data.write(self.bundle / "in")
        self.services = Services(home=folder / "home", bundle=self.bundle, roles=ROLES, settings=SETTINGS)
        self.lake = Lake(str(folder / "home" / "lake"))
        self.users = {}

    def start(self):
        self.services.start()
        url = self.services.url("airflow")
        self.users |= {name: AirflowApi(url, {"username": name, "password": name}) for name in ROLES}
        self.api = self.users["admin"]
        self.api.wait_for_dags(DAGS)
        for dag_id in DAGS:
            self.api.unpause(dag_id)

    def stop(self):
        self.services.stop()
        # Called again at the session's end: by then another process may have one of these numbers.
        self.services.processes.clear()
        for user in self.users.values():
            user.client.close()

    def ask(self, method, path, *, user="admin", **kwargs):
        """Return an answer of the REST API whatever its status; `user` None: nobody."""
        if user is None:
            return httpx.request(method, f"{self.api.url}{_full(path)}", timeout=30, **kwargs)
        return self.users[user].client.request(method, f"{self.api.url}{_full(path)}", **kwargs)

    def wait(self, what, done):
        """Return what `done` returns as soon as that is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := done()):
            self.services.check_alive()
            assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}; runs: {self._shown()}"
            time.sleep(0.3)
        return found

    def start_run(self, dag_id, number=None, **body):
        """Start a run, of a month where one is given, and return its id."""
        moment = data.month(number).isoformat() if number else None
        return self.api.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": moment, **body})["dag_run_id"]

    def ended(self, dag_id, run_id):
        """Wait for the end of a run and return its state."""
        return self.wait(f"{dag_id} {run_id} has ended", lambda: (s := self.state(dag_id, run_id)) in DONE and s)

    def run_month(self, number):
        """Run a month's data and return the run's id once its state is known."""
        run_id = self.start_run("shop-data", number)
        self.ended("shop-data", run_id)
        return run_id

    def state(self, dag_id, run_id):
        answer = self.ask("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        return answer.json()["state"] if answer.is_success else None

    def runs(self, dag_id):
        return self.api.runs(dag_id)

    def tasks(self, dag_id, run_id):
        """Return the tasks of a run by name."""
        return {task["task_id"]: task for task in self.api.tasks(dag_id, run_id)}

    def states(self, dag_id, run_id):
        return {name: task["state"] for name, task in self.tasks(dag_id, run_id).items()}

    def result(self, dag_id, run_id, task_id, key="return_value"):
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api.call("GET", path, params={"deserialize": True})["value"]

    def links(self, dag_id, run_id, task_id):
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        return self.api.call("GET", path)["extra_links"]

    def emit(self, uri):
        """Send an asset event by hand."""
        assets = self.api.call("GET", "/assets", params={"uri_pattern": uri})["assets"]
        (asset,) = [asset for asset in assets if asset["uri"] == uri]
        self.api.call("POST", "/assets/events", json={"asset_id": asset["id"], "extra": {}})

    def decisions(self):
        return {decision.batch: decision for decision in DecisionLedger(self.lake, "shop").decisions()}

    def promotions(self, model="shop"):
        return PromotionLedger(self.lake, model).history()

    def batches(self, dataset):
        return BatchLedger(self.lake, dataset).rows()

    def settled(self, number):
        """Wait until a month is decided on, the training that was decided has ended, and nothing runs."""

        def quiet():
            decision = self.decisions().get(data.batch(number))
            runs = [run for dag_id in DAGS if dag_id.startswith("shop-") for run in self.runs(dag_id)]
            if decision is None or any(run["state"] not in DONE for run in runs):
                return False
            return decision.decision != "retrain" or decision.id in {run["dag_run_id"] for run in runs}

        self.wait(f"month {number} is settled", quiet)

    def _shown(self):
        return [(run["dag_id"], run["dag_run_id"], run["state"]) for run in self.runs("~")]


def _full(path):
    return path if path.startswith(("/mlops", "/ui", "/auth")) else f"/api/v2{path}"

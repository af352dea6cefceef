"""Run the demo: start both services, hand Airflow one month after the other, tell what happened."""

import json
import os
import signal
import sys
import time
from collections import defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

from airflow_mlops_provider.steps.history import DecisionLedger
from airflow_mlops_provider.steps.lake import Lake
from include.demo import summary
from include.demo.airflow_api import DONE, AirflowApi
from include.demo.closing_check import online_store_equals_lake
from include.demo.services import HOME, LOGIN, Services
from include.incidents import INCIDENTS

ZONE = ZoneInfo("America/New_York")
DAGS = [f"{summary.PIPELINE}-{section}" for section in ("data", "score", "monitor", "train")]
MONTH_TIMEOUT_S = 600
STUCK_S = 120


def expected_states(batches, incident):
    """Return what DESIGN's outcome table expects: only a refused batch makes a data run fail."""
    refused = {"2013-04-01"} if incident and INCIDENTS[incident].refused else set()
    data = {batch: "failed" if batch in refused else "success" for batch in batches}
    return {"flights-data": data} | dict.fromkeys(DAGS[1:], "success")


class Demo:
    def __init__(self, services, incident, months):
        self.services = services
        self.incident = incident
        self.months = [datetime(2013, month, 1, tzinfo=ZONE) for month in range(1, months + 1)]
        self.batches = [m.date().isoformat() for m in self.months]
        self.lake = Lake(str(HOME / "lake"))
        self.expected = expected_states(self.batches, incident)
        self.started = time.monotonic()
        self.peak_mb = 0.0
        (HOME / "expected.json").write_text(json.dumps(self.expected, indent=1))
        self.api = AirflowApi(services.url("airflow"))

    def run(self):
        self.api.wait_for_dags(DAGS)
        for dag_id in DAGS:
            self.api.unpause(dag_id)
        for month, batch in zip(self.months, self.batches, strict=True):
            self._month(month, batch)
        self._settle(self.batches[-1])

    def _month(self, month, batch):
        run_id = self.api.trigger(DAGS[0], month)
        self._wait(batch, lambda: self._state(DAGS[0], run_id) in DONE)
        if self._state(DAGS[0], run_id) == "success":
            self._wait(batch, lambda: self._decided(batch))
            self._settle(batch)
        else:
            self._say(batch, "data run failed: the month stays out")

    def _decided(self, batch):
        return any(d.batch == batch for d in DecisionLedger(self.lake, summary.PIPELINE).decisions())

    def _settle(self, batch):
        """Wait until nothing runs, and a training that was decided has been started and has ended."""
        wanted = {d.id for d in DecisionLedger(self.lake, summary.PIPELINE).decisions() if d.decision == "retrain"}

        def quiet():
            runs = self.api.runs()
            known = {run["dag_run_id"] for run in runs if run["dag_id"] == DAGS[3]}
            return wanted <= known and all(run["state"] in DONE for run in runs)

        self._wait(batch, quiet)

    def _wait(self, batch, done):
        deadline, shown = time.monotonic() + MONTH_TIMEOUT_S, None
        while not done():
            self.services.check_alive()
            if time.monotonic() > deadline:
                raise SystemExit(f"{batch}: not done after {MONTH_TIMEOUT_S} s; see {HOME / 'logs'}")
            self.peak_mb = max(self.peak_mb, self.services.resident_mb())
            stage = self._stage()
            if stage and stage != shown:
                shown = stage
                self._say(batch, stage)
            time.sleep(0.5)

    def _stage(self):
        for run in reversed(self.api.runs()):
            if run["state"] == "running":
                tasks = self.api.tasks(run["dag_id"], run["dag_run_id"])
                running = [t["task_id"] for t in tasks if t["state"] == "running"]
                if running:
                    return f"{run['dag_id']}: {', '.join(sorted(running))}"
        return None

    def _state(self, dag_id, run_id):
        return self.api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]

    def _say(self, batch, text):
        elapsed = int(time.monotonic() - self.started)
        print(f"[{elapsed // 60:2d}:{elapsed % 60:02d}] {batch[:7]}  {text}", flush=True)

    def finish(self):
        """Write and print the summary; return whether each run ended as expected."""
        runs = [self._run_row(run) for run in self.api.runs()]
        print("\n" + summary.write(HOME, summary.monthly_rows(self.lake, self.batches), runs, self.incident))
        print(f"online store: {online_store_equals_lake()} carriers read back through Feast, equal to the lake")
        self._print_seconds()
        print(f"elapsed {time.monotonic() - self.started:.0f} s, at most {self.peak_mb:.0f} MiB resident in all")
        wrong = [run for run in runs if run["state"] != run["expected_state"]]
        for run in wrong:
            print(f"NOT AS EXPECTED: {run['dag_id']} {run['run_id']}: {run['state']}, not {run['expected_state']}")
        return not wrong

    def _run_row(self, run):
        expected = self.expected[run["dag_id"]]
        if isinstance(expected, dict):
            start = datetime.fromisoformat(run["data_interval_start"]).astimezone(ZONE)
            expected = expected[start.date().isoformat()]
        keys = {"dag_id": "dag_id", "run_id": "dag_run_id", "run_type": "run_type", "state": "state"}
        return {ours: run[theirs] for ours, theirs in keys.items()} | {"expected_state": expected}

    def _print_seconds(self):
        spent = defaultdict(list)
        for run in self.api.runs():
            for task in self.api.tasks(run["dag_id"], run["dag_run_id"]):
                if task["duration"] is not None:
                    spent[f"{run['dag_id']}.{task['task_id']}"].append(task["duration"])
        print("seconds a stage (sum, runs):")
        for name, seconds in sorted(spent.items(), key=lambda item: -sum(item[1])):
            print(f"  {name:32s} {sum(seconds):7.1f}  {len(seconds):3d}")


def main():
    incident = os.environ.pop("INCIDENT", "")
    if incident and incident not in INCIDENTS:
        raise SystemExit(f"INCIDENT={incident}: known are {', '.join(INCIDENTS)}")
    services = Services(incident)
    # make sends SIGTERM when it is ended itself: stop what was started then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print("starting MLflow and Airflow (half a minute)", flush=True)
        services.start()
        demo = Demo(services, incident, int(os.environ.get("MONTHS", "12")))
        demo.run()
        good = demo.finish()
        if os.environ.get("UI") != "0":
            print(f"Airflow  {services.url('airflow')}  login {LOGIN['username']} / {LOGIN['password']}")
            print(f"MLflow   {services.url('mlflow')}\nBoth stay up until Ctrl-C.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("\nstopping")
        return 0
    finally:
        services.stop()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

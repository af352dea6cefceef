"""Start and stop the demo's Airflow and MLflow: SQLite, one machine, everything under `.demo/`."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".demo"
LOGIN = {"username": "admin", "password": "admin"}
START_TIMEOUT_S = 180


class Services:
    """Airflow standalone and an MLflow server as child processes of this one.

    `home` is the folder of everything that they write, `bundle` the one that Airflow reads DAGs from, `roles` those
    of Airflow's users, each with its name as password; `settings` go over Airflow's here, by `SECTION__KEY`.
    """

    def __init__(self, incident="", *, home=HOME, bundle=ROOT, roles=None, settings=None):
        self.home, self.bundle = home, bundle
        self.roles = roles or {LOGIN["username"]: "admin"}
        self.ports = {"airflow": _free_port(8080), "mlflow": _free_port(5000)}
        self.environment = self._environment(incident, settings or {})
        self.processes = []

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self):
        self._prepare()
        self._spawn("mlflow", [*_tool("mlflow"), "server", "--host", "127.0.0.1", *self._mlflow_arguments()])
        self._run([*_tool("airflow"), "db", "migrate"])
        self._spawn("airflow", [*_tool("airflow"), "standalone"])
        self._wait("mlflow", "/health")
        self._wait("airflow", "/api/v2/version")

    def stop(self):
        for process in self.processes:
            _end(process)

    def resident_mb(self):
        """Return the resident memory of everything that was started, shared pages counted once."""
        total = 0
        for process in self._family():
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return total / 2**20

    def check_alive(self):
        for name, process in zip(("mlflow", "airflow"), self.processes, strict=True):
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with {process.returncode}; see {self.home / 'logs' / name}.log")

    def _family(self):
        for process in self.processes:
            try:
                parent = psutil.Process(process.pid)
                yield from [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue

    def _environment(self, incident, settings):
        home = self.home
        mlflow = {"conn_type": "mlflow", "host": self.url("mlflow")}
        bundle = {
            "name": "flights",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(self.bundle)},
        }
        airflow = {
            "API__PORT": self.ports["airflow"],
            "API__BASE_URL": self.url("airflow"),
            "API__WORKERS": 1,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url('airflow')}/execution/",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__LOAD_EXAMPLES": False,
            "CORE__PARALLELISM": 2,
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "airflow" / "passwords.json",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in self.roles.items()),
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "DAG_PROCESSOR__REFRESH_INTERVAL": 3600,
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow' / 'airflow.db'}",
            "LOGGING__LOGGING_LEVEL": "INFO",
            "MLOPS__ENVIRONMENT": "demo",
            "MLOPS__LAKE": home / "lake",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
            "USAGE_DATA_COLLECTION__ENABLED": False,
            # A deferral or a short task is noticed within a second instead of five.
            "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,
        }
        ours = {
            "AIRFLOW_HOME": home / "airflow",
            "AIRFLOW_CONN_MLFLOW_DEFAULT": json.dumps(mlflow),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "DO_NOT_TRACK": "1",
            "FEAST_USAGE": "False",
            # What tasks print is read in the UI; two threads a task fill the two cores.
            "OMP_NUM_THREADS": "2",
            # Threads that spin while Airflow's own processes want the core make a fit ten times slower.
            "OMP_WAIT_POLICY": "passive",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            **({"INCIDENT": incident} if incident else {}),
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "MLFLOW", "INCIDENT"))}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        airflow = {f"AIRFLOW__{key}": value for key, value in (airflow | settings).items()}
        return kept | {key: str(value) for key, value in (airflow | ours).items()}

    def _prepare(self):
        if self.home.exists():
            print(f"starting afresh: {self.home.name}/ of an earlier run is removed")
            shutil.rmtree(self.home)
        for folder in ("airflow", "lake", "logs", "mlflow"):
            (self.home / folder).mkdir(parents=True)
        passwords = self.home / "airflow" / "passwords.json"
        passwords.write_text(json.dumps({name: name for name in self.roles}))

    def _mlflow_arguments(self):
        return [
            "--port", str(self.ports["mlflow"]),
            "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}",
            "--artifacts-destination", str(self.home / "mlflow" / "artifacts"),
        ]  # fmt: skip

    def _run(self, command):
        log = self.home / "logs" / "setup.log"
        with log.open("ab") as sink:
            done = subprocess.run(command, env=self.environment, cwd=self.home, stdout=sink, stderr=sink, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[-3:])} failed; see {log}")

    def _spawn(self, name, command):
        with (self.home / "logs" / f"{name}.log").open("ab") as sink:
            # A session of its own: Ctrl-C reaches the driver alone, which then ends these in order.
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.home, stdout=sink, stderr=sink, start_new_session=True
            )
        self.processes.append(process)

    def _wait(self, name, path):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(self.url(name) + path, timeout=2).is_success:
                    return
            except httpx.HTTPError:
                pass
            if any(process.poll() is not None for process in self.processes):
                break
            time.sleep(0.5)
        raise SystemExit(f"{name} did not answer at {self.url(name)}; see {self.home / 'logs' / name}.log")


def _end(process):
    """End a process group: politely, and after ten seconds surely."""
    for sign, wait_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.2)


def _tool(name):
    """Return a tool of this very environment, whatever is on the PATH."""
    return [str(Path(sys.executable).parent / name)]


def _free_port(wanted):
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise SystemExit("no free port")

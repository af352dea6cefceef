"""An Airflow of its own home, asked through its command line as its people ask it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

# A file system that nobody writes, root neither: a mount seen by this one process.
_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


@dataclass(frozen=True)
class Airflow:
    """An installed Airflow with its home and dags folder."""

    python: Path
    home: Path
    dags: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    connections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    read_only: bool = False

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one `airflow` command."""
        return self.tool("airflow", *arguments, check=check)

    def tool(self, name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command of this environment."""
        command = self.command(name, *arguments)
        done = subprocess.run(command, env=self.environment(), cwd=self.home, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{name} {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def python_says(self, code: str) -> str:
        """Run Python code with the dags folder on its path, as Airflow has it, and return what it printed."""
        return self.tool("python", "-c", f"import sys; sys.path.insert(0, {str(self.dags)!r})\n{code}").stdout

    def json(self, *arguments: str) -> Any:
        """Run one `airflow` command and return what it printed as JSON; warnings may stand before it."""
        lines = self.run(*arguments, "--output", "json").stdout.strip().splitlines()
        return json.loads(next((line for line in reversed(lines) if line.startswith(("[", "{"))), "[]"))

    def command(self, tool: str, *arguments: str) -> list[str]:
        """Return the command of a tool of this environment."""
        plain = [str(self.python.parent / tool), *arguments]
        if self.read_only and os.geteuid() == 0:
            return ["unshare", "--mount", "sh", "-c", _READ_ONLY, str(self.dags), *plain]
        return plain

    def environment(self) -> dict[str, str]:
        """Return this Airflow's environment; nothing of the one that the tests run in."""
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "MLOPS__LAKE": str(self.home / "lake"),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
            **self.settings,
        }
        path = f"{self.python.parent}:/usr/local/bin:/usr/bin:/bin"
        base = {"AIRFLOW_HOME": str(self.home), "HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8"}
        connections = {f"AIRFLOW_CONN_{key.upper()}": json.dumps(fields) for key, fields in self.connections.items()}
        return base | connections | {f"AIRFLOW__{key}": value for key, value in settings.items()}

    @contextmanager
    def standalone(self, port: int) -> Iterator[str]:
        """Run all of Airflow's components; yields the API's address once it answers."""
        url = f"http://127.0.0.1:{port}"
        settings = {
            "API__PORT": str(port),
            "API__WORKERS": "1",
            "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "CORE__PARALLELISM": "2",
        }
        environment = self.environment() | {f"AIRFLOW__{key}": value for key, value in settings.items()}
        log = self.home / "standalone.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                self.command("airflow", "standalone"),
                env=environment,
                cwd=self.home,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            until(lambda: process.poll() is not None or _answers(url), timeout_s=600)
            assert process.poll() is None, log.read_text()[-4000:]
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def read_dags(self) -> None:
        """Read the dags folder into the database, as the DAG processor does."""
        self.run("dags", "reserialize")


def until(true: Callable[[], Any], *, timeout_s: float) -> Any:
    """Wait until a function returns something true, and return that."""
    deadline = time.monotonic() + timeout_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(1)
    return found


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/version", timeout=5).is_success
    except httpx.HTTPError:
        return False

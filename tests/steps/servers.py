"""Real servers, each a child process: an S3 store (moto) and PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "kept-out-of-every-message"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def moto() -> Iterator[str]:
    """Run an S3 store and yield its address. In this process it would hang deltalake, which holds the GIL."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=1).close())
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@contextmanager
def postgres() -> Iterator[dict[str, object]]:
    """Run PostgreSQL as an ordinary user and yield its connection; skips where it is not installed."""
    import psycopg

    binaries = _binaries()
    user = {"user": pwd.getpwnam("nobody").pw_uid, "group": pwd.getpwnam("nobody").pw_gid} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="airflow-mlops-postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            if user:
                os.chown(path, user["user"], user["group"])
        data, port = folder / "data", free_port()
        init = [binaries / "initdb", "-D", data, "-U", "reader", "-A", "scram-sha-256", f"--pwfile={folder}/password"]
        subprocess.run(
            [*init, "--no-sync", "--no-locale", "-E", "UTF8"], check=True, capture_output=True, cwd=folder, **user
        )
        serve = [binaries / "postgres", "-D", data, "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"]
        with subprocess.Popen(
            serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **user
        ) as server:
            try:
                address = {"host": "127.0.0.1", "port": port, "user": "reader", "password": PASSWORD}
                _wait(lambda: psycopg.connect(dbname="postgres", **address).close())
                yield {
                    "conn_type": "postgres",
                    "host": "127.0.0.1",
                    "port": port,
                    "login": "reader",
                    "password": PASSWORD,
                    "schema": "postgres",
                    "extra": {"driver": "psycopg"},
                }
            finally:
                server.terminate()
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.environ["PATH"].split(os.pathsep))]
    found = next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)
    if found is None:
        pytest.skip("PostgreSQL's initdb and postgres are not installed")
    return found


def _wait(connect) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return connect()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)

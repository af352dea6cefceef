"""The pod's main in a process of its own: the outcome in the lake, in the termination message and in the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from airflow_mlops_provider.contracts.protocol import EXIT_CODES, Outcome, Request, decode
from airflow_mlops_provider.runners.bundle import ship
from airflow_mlops_provider.runners.ending import end_of
from airflow_mlops_provider.runners.pod import outcome_path
from airflow_mlops_provider.runners.usage import Usage
from airflow_mlops_provider.steps.lake import Lake

MAIN = "import os, sys; from airflow_mlops_provider.runners.pod import main; main(os.environ, sys.argv[1])"
SOURCE = """
import time

import pandas


def good(batch):
    return pandas.DataFrame({"id": [1, 2]})


def waits(batch):
    print("waiting", flush=True)
    time.sleep(60)


def raises(batch):
    raise ValueError("wrong file")
"""


@pytest.fixture
def started(tmp_path):
    """Start the pod's main; returns the process."""
    (tmp_path / "source.py").write_text(SOURCE)
    log = tmp_path / "termination-log"

    def start(function, *, connections=None, lake=None, code=None, **more):
        batch = {"id": "b", "start": "2024-01-01T00:00:00+00:00", "end": "2024-01-02T00:00:00+00:00", "timezone": "UTC"}
        spec = {
            "pipeline": "p",
            "lake": lake or str(tmp_path / "lake"),
            # Where the files come by themselves, those of the image must not be looked at.
            "bundle": str(tmp_path if code is None else tmp_path / "nowhere"),
            "batch": batch,
            "datasets": {"rows": {"python_callable": f"source.{function}"}},
        }
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(tmp_path),
            "MLOPS_POD": "p-1",
            "MLOPS_REQUEST": Request("ingest", spec, "k").encode(),
            **more,
        }
        if code:
            environment["MLOPS_CODE"] = json.dumps(code)
        if connections:
            (tmp_path / "connections.json").write_text(json.dumps(connections))
            environment["MLOPS_CONNECTIONS"] = str(tmp_path / "connections.json")
        return subprocess.Popen(
            [sys.executable, "-c", MAIN, str(log)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def told(tmp_path):
    message = (tmp_path / "termination-log").read_text()
    state = {"terminated": {"reason": "Completed", "exitCode": 0, "message": message}}
    return end_of({"status": {"containerStatuses": [{"name": "base", "state": state}]}})


def kept(tmp_path, name="p-1"):
    content = Lake(str(tmp_path / "lake")).get(f"{tmp_path}/lake/{outcome_path(name)}")
    return decode(content.decode()) if content else None


@pytest.mark.parametrize(("function", "status"), [("good", "succeeded"), ("raises", "failed")])
def test_the_outcome_is_told_three_times_and_the_same(started, tmp_path, function, status):
    with started(function) as process:
        process.communicate(timeout=60)
    assert process.returncode == EXIT_CODES[status]
    assert told(tmp_path).outcome == kept(tmp_path)
    assert kept(tmp_path).status == status


@pytest.mark.parametrize(("function", "code", "status"), [("good", 0, None), ("raises", 1, "failed")])
def test_another_worker_than_the_first_tells_only_its_failure(started, tmp_path, function, code, status):
    with started(function, RANK="2", WORLD_SIZE="3") as process:
        process.communicate(timeout=60)
    assert process.returncode == code
    found = told(tmp_path).outcome
    assert (found and found.status) == status
    assert (kept(tmp_path, "p-1-2"), kept(tmp_path)) == (found, None)
    assert Usage.told((tmp_path / "termination-log").read_text()).seconds > 0


def test_a_result_too_large_for_the_message_is_in_the_lake():
    from airflow_mlops_provider.runners import pod

    large, used = Outcome("succeeded", result={"text": "x" * 5000}), Usage(1.5, 2**30)
    message = json.loads(pod._message(large, "_outcomes/p.json", used, True))
    usage = {"seconds": 1.5, "peak_memory_bytes": 2**30}
    assert message == {"path": "_outcomes/p.json", "usage": usage, "charged": True}
    assert len(pod._message(Outcome("succeeded", result={}), "_outcomes/p.json", used, True).encode()) < 4096


@pytest.mark.parametrize("function", ["good", "raises"])
def test_what_it_used_is_told_beside_the_outcome(started, tmp_path, function):
    with started(function) as process:
        process.communicate(timeout=60)
    used = Usage.told((tmp_path / "termination-log").read_text())
    assert 0 < used.seconds < 60
    assert 20 * 2**20 < used.peak_memory_bytes < 2**32


def test_the_bundle_is_run_as_it_was_packed_whatever_became_of_it(started, tmp_path):
    code = ship(str(tmp_path / "lake"), tmp_path)
    (tmp_path / "source.py").write_text(SOURCE.replace('{"id": [1, 2]}', '{"id": [1, 2, 3]}'))
    with started("good", code=code) as process:
        process.communicate(timeout=60)
    assert kept(tmp_path).result["datasets"]["rows"]["rows"] == 2


def test_a_bundle_that_somebody_changed_in_the_lake_is_not_run(started, tmp_path):
    code = ship(str(tmp_path / "lake"), tmp_path)
    path = tmp_path / "lake" / code["path"]
    path.write_bytes(path.read_bytes().replace(b"[1, 2]", b"[6, 6]"))
    with started("good", code=code) as process:
        process.communicate(timeout=60)
    outcome = told(tmp_path).outcome
    assert (process.returncode, outcome.status, outcome.kind) == (1, "failed", "bad_input")
    assert f"not {code['sha256']}: it is not what was packed" in outcome.error
    assert not list(tmp_path.glob("bundle-*/*"))


def test_a_bundle_that_is_not_in_the_lake_is_a_fault_that_a_retry_gets_past(started, tmp_path):
    with started("good", code={"path": "_code/gone.zip", "sha256": "0"}) as process:
        process.communicate(timeout=60)
    assert told(tmp_path).outcome.kind == "transient"


def test_sigterm_is_told_as_a_fault_that_a_retry_resumes(started, tmp_path):
    with started("waits") as process:
        for line in process.stdout:
            if "waiting" in line:
                break
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (kept(tmp_path).status, kept(tmp_path).kind) == ("failed", "transient")


def test_a_lake_that_cannot_be_written_hides_no_outcome(started, tmp_path):
    (tmp_path / "file").write_text("")
    with started("raises", lake=str(tmp_path / "file" / "lake")) as process:
        said, _ = process.communicate(timeout=60)
    assert "the outcome could not be written to the lake" in said
    assert told(tmp_path).outcome.status == "failed"


def test_connections_come_by_file_and_are_in_nothing_that_is_told(started, tmp_path):
    secret = {"lake_default": {"conn_type": "aws", "login": "me", "password": "s3cret-word", "extra": {}}}
    with started("raises", connections=secret) as process:
        said, _ = process.communicate(timeout=60)
    assert "s3cret-word" not in said + (tmp_path / "termination-log").read_text() + kept(tmp_path).encode()

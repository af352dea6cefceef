"""A scheduler that dies: what it ran ends rightly once another one is there, and nothing is doubled."""

import os
import signal
import subprocess

import psutil
import pytest

from tests.live.data import PER_DAY, batch


def scheduler_of(live):
    """Return the scheduler's process: the child of `airflow standalone` that runs that command."""
    (standalone,) = [process for process in live.services.processes if "standalone" in process.args]
    (found,) = [child for child in psutil.Process(standalone.pid).children() if "scheduler" in child.cmdline()]
    return found


def lives(process):
    """Tell whether a process runs; `airflow standalone` leaves a dead child as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def restart(live):
    """Return a function that starts a scheduler of its own; it ends with the test."""
    started = []

    def restart():
        log = (live.services.home / "logs" / "scheduler.log").open("ab")
        command = [live.services.processes[1].args[0], "scheduler"]
        with log:
            started.append(
                subprocess.Popen(command, env=live.services.environment, stdout=log, stderr=log, start_new_session=True)
            )

    yield restart
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_killed_schedulers_run_ends_once(live, restart):
    run_id = live.start_run("steady-data", 1)
    live.wait("it reads", lambda: live.states("steady-data", run_id).get("ingest") == "running")
    scheduler = scheduler_of(live)
    family = [scheduler, *scheduler.children(recursive=True)]
    for process in family:
        process.kill()
    live.wait("they are dead", lambda: not any(map(lives, family)))
    assert live.state("steady-data", run_id) == "running"
    restart()
    assert live.ended("steady-data", run_id) == "success"
    (row,) = live.batches("slow")
    assert (row.batch.id, row.rows) == (batch(1), 31 * PER_DAY)
    assert live.lake.read("slow").num_rows == 31 * PER_DAY
    assert live.tasks("steady-data", run_id)["ingest"]["try_number"] == 2

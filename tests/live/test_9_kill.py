"""A scheduler that dies: what it ran ends rightly once another one is there, and nothing is doubled."""

import os
import signal
import subprocess
from contextlib import suppress

import psutil
import pytest

from tests.live.data import PER_DAY, batch


class Scheduler:
    """The one that `airflow standalone` started, and those that take its place."""

    def __init__(self, live):
        self.live, self.started = live, []
        (standalone,) = [process for process in live.services.processes if "standalone" in process.args]
        self.command = [standalone.args[0], "scheduler"]
        (self.process,) = [
            child for child in psutil.Process(standalone.pid).children() if "scheduler" in child.cmdline()
        ]

    def kill(self, *, tasks):
        doomed = [self.process, *(self.process.children(recursive=True) if tasks else ())]
        for process in doomed:
            process.kill()
        self.live.wait("they are dead", lambda: not any(map(lives, doomed)))

    def start(self):
        with (self.live.services.home / "logs" / "scheduler.log").open("ab") as log:
            process = subprocess.Popen(
                self.command, env=self.live.services.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        self.process = psutil.Process(process.pid)

    def stop(self):
        for process in self.started:
            # Its group, also where it is dead itself: the workers of a scheduler that was killed alone live on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def lives(process):
    """Tell whether a process runs; `airflow standalone` leaves a dead child as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def scheduler(live):
    scheduler = Scheduler(live)
    yield scheduler
    scheduler.stop()


@pytest.mark.parametrize(("number", "tasks"), [(1, True), (3, False)], ids=["with its tasks", "alone"])
def test_a_killed_schedulers_run_ends_once(live, scheduler, number, tasks):
    run_id = live.start_run("steady-data", number)
    live.wait("it reads", lambda: live.states("steady-data", run_id).get("ingest") == "running")
    scheduler.kill(tasks=tasks)
    assert live.state("steady-data", run_id) == "running"
    scheduler.start()
    assert live.ended("steady-data", run_id) == "success"
    assert {row.batch.id: row.rows for row in live.batches("slow")}[batch(number)] == 31 * PER_DAY
    assert live.lake.read("slow")["_batch"].to_pylist().count(batch(number)) == 31 * PER_DAY
    if tasks:
        assert live.tasks("steady-data", run_id)["ingest"]["try_number"] == 2

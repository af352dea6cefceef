"""Airflow's daemons as processes that can be killed and started again."""

import os
import signal
import subprocess
from contextlib import suppress

import psutil


class Daemon:
    """The one that `airflow standalone` started, and those that take its place."""

    def __init__(self, live, name):
        self.live, self.name, self.started = live, name, []
        (standalone,) = [process for process in live.services.processes if "standalone" in process.args]
        self.command = [standalone.args[0], name]
        children = filter(lives, psutil.Process(standalone.pid).children())
        (self.process,) = [child for child in children if name in child.cmdline()]

    def kill(self, *, tasks):
        doomed = [self.process, *(self.process.children(recursive=True) if tasks else ())]
        for process in doomed:
            process.kill()
        self.live.wait("they are dead", lambda: not any(map(lives, doomed)))

    def start(self):
        with (self.live.services.home / "logs" / f"{self.name}.log").open("ab") as log:
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
        self.started.clear()


def lives(process):
    """Tell whether a process runs; `airflow standalone` leaves a dead child as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

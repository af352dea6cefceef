"""One container as a local process: its own pid, mount and host name namespaces, its own environment, one log."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.testing.cluster.logs import Log

__all__ = ["ContainerPlan", "Mount", "Process", "StartError", "check_namespaces"]

_INIT = Path(__file__).with_name("init.py")
# The whole tree dies with the thread that started it, however that ended.
_UNSHARE = ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--uts")
# `unshare --fork` loses the signal that ended its child; a shell reports it as 128 + n. Its first child is process 1.
# Without the log in its hands the log ends with the container.
_WAIT = ("sh", "-c", '"$@" & exec >/dev/null 2>&1; wait $!', "wait")


class StartError(Exception):
    """The container's command could not be started; the message says why."""


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine and where the container sees it."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerPlan:
    """What is needed to start one container; `scratch` is an empty folder of its own for mount points."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    hostname: str
    scratch: str
    mounts: Sequence[Mount] = field(default_factory=tuple)


def _rootless() -> bool:
    return os.geteuid() != 0


def _alone() -> list[str]:
    """Return the words before a command that make it process 1 of namespaces of its own."""
    # Without root the container is root in a user namespace of its own.
    return [*_UNSHARE, *(("--user", "--map-root-user") if _rootless() else ()), *_WAIT]


@cache
def check_namespaces() -> None:
    """Raise ConfigError, once and for all, if this machine gives no namespaces."""
    missing = [tool for tool in ("setpriv", "unshare", "nsenter") if not shutil.which(tool)]
    if missing:
        raise ConfigError(f"The cluster runs containers with {', '.join(missing)} of util-linux: install util-linux.")
    tried = subprocess.run([*_alone(), "true"], capture_output=True, text=True)  # noqa: S603 - fixed words
    if tried.returncode != 0:
        raise ConfigError(
            f"This machine lets no process have namespaces of its own ({tried.stderr.strip()}). Run as root, or allow "
            "user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
            "kernel.apparmor_restrict_unprivileged_userns=0; in Docker: --privileged)."
        )


class Process:
    """A started container. `pid` is this machine's number of the container's process 1."""

    def __init__(self, started: asyncio.subprocess.Process, pid: int, plan: ContainerPlan, log: Log) -> None:
        self.pid = pid
        self.env = dict(plan.env)
        self._started = started
        self._ended = asyncio.create_task(self._follow(log))

    @classmethod
    async def start(cls, plan: ContainerPlan, log: Log) -> Process:
        """Start the container; its output, both streams, goes to `log`. Raises StartError with the reason."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            with theirs:
                started = await _launch(theirs)
            try:
                pid, fault = await _hand_over(ours, started.pid, json.dumps(asdict(plan)).encode())
            except (OSError, LookupError) as exc:
                pid, fault = None, f"its first process was killed as it started: {exc}"
        if fault or pid is None:
            output, _ = await started.communicate()
            raise StartError(fault or output.decode(errors="replace").strip())
        return cls(started, pid, plan, log)

    async def wait(self) -> int:
        """Return the exit code, 128 + n after signal n. May be cancelled: the container runs on."""
        return await asyncio.shield(self._ended)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to process 1; a process that has ended takes none."""
        if not self._ended.done():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return  # it ends right now, and is read soon

    def enter(self, command: Sequence[str]) -> list[str]:
        """Return the words that run `command` in the container's namespaces, to be started with its `env`."""
        user = ["--user", "--preserve-credentials"] if _rootless() else []
        target = ["--target", str(self.pid), *user, "--pid", "--mount", "--uts", "--root", f"--wd=/proc/{self.pid}/cwd"]
        return [str(shutil.which("nsenter")), *target, "--", *command]

    async def stop(self, grace_s: float) -> int:
        """Ask to end, wait for the grace period, then kill. Return the exit code."""
        if grace_s > 0:
            self.signal(signal.SIGTERM)
            await asyncio.wait({self._ended}, timeout=grace_s)
        self.signal(signal.SIGKILL)
        return await self.wait()

    async def _follow(self, log: Log) -> int:
        assert self._started.stdout is not None
        while data := await self._started.stdout.read(65_536):
            log.write(data)
        code = await self._started.wait()
        log.close()
        return code if code >= 0 else 128 - code  # negative where the shell itself was killed


async def _launch(theirs: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(*_alone(), sys.executable, "-I", "-S", str(_INIT), str(theirs.fileno())),
        pass_fds=(theirs.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


async def _hand_over(link: socket.socket, parent: int, plan: bytes) -> tuple[int | None, str]:
    """Give process 1 its plan; return its number and why it could not become the command, if so."""
    loop = asyncio.get_running_loop()
    if not await loop.sock_recv(link, 1):
        return None, ""
    pid = _child_of(parent)
    reader, teller = os.pipe()
    socket.send_fds(link, [b"."], [teller])
    os.close(teller)
    await loop.sock_sendall(link, plan)
    link.shutdown(socket.SHUT_WR)
    return pid, await _read_all(reader)


async def _read_all(reader: int) -> str:
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    file = os.fdopen(reader, "rb")
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), file)
    try:
        return (await stream.read()).decode()
    finally:
        transport.close()


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

"""A worker in a child process: started in a clean environment, heard to its end, and never left behind.

Beside its standard streams the child has two pipes: the channel, on which it answers, and the lifeline, which
the parent holds open and whose end makes the child kill itself and what it started, however the parent ended.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, Self

__all__ = ["PASSED_ON", "WORKER", "Child", "Lines", "environment", "forwarded_sigterm", "worker_command"]

WORKER = "airflow_mlops_provider.runners.worker"

# All that a child inherits. Not PYTHONPATH: it belongs to this interpreter's packages. No cloud variables and
# nothing of Airflow: what a step may reach, it reaches through its connections.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CUDA_VISIBLE_DEVICES",
)

_CHUNK = 65_536
_IDLE_S = 0.2
# A process that left the child's group may hold its pipes open and write on; it is not listened to for longer.
_DRAIN_S = 5.0

Take = Callable[[str], None]


def environment(python: str) -> dict[str, str]:
    """Return the environment of a child: the allow-list, with the interpreter's own folder first on PATH."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    folder = str(Path(python).parent)
    return {**kept, "PATH": f"{folder}{os.pathsep}{kept.get('PATH', os.defpath)}"}


def worker_command(python: str, *arguments: str) -> list[str]:
    """Return the command that starts a worker; `-P` keeps the current folder off its path."""
    return [python, "-P", "-m", WORKER, *arguments]


class Child:
    """One worker process and its pipes. As a context manager it leaves no process behind.

    Raises OSError if the interpreter cannot be started.
    """

    def __init__(self, python: str, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._kill_at = self._deaf_at = float("inf")
        channel, answer_fd = os.pipe()
        lifeline_fd, lifeline = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603  # the interpreter was allowed by who asks
                worker_command(python, str(answer_fd), str(lifeline_fd)),
                env=environment(python),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(answer_fd, lifeline_fd),
                process_group=0,
            )
        except BaseException:
            os.close(channel)
            os.close(lifeline)
            raise
        finally:
            os.close(answer_fd)
            os.close(lifeline_fd)
        self._channel = os.fdopen(channel, "rb", buffering=0)
        self._lifeline = os.fdopen(lifeline, "wb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self.process.poll() is None:
                self.stop()
                self.listen(_ignore, _ignore, _ignore)
        finally:
            # Also where a second Ctrl-C ends the wait: without its lifeline the child kills its group.
            for pipe in (self._lifeline, self._channel, *self._streams()):
                pipe.close()

    def send(self, line: str) -> None:
        """Write the request from a thread: what we started may not read at all, only write."""
        threading.Thread(target=_feed, args=(self.process.stdin, line), daemon=True).start()

    def stop(self) -> None:
        """Send SIGTERM; who still runs after the grace period is killed. Safe in a signal handler."""
        self._kill_at = min(self._kill_at, time.monotonic() + self._grace_s)
        self.process.send_signal(signal.SIGTERM)

    def listen(self, on_line: Take, on_stdout: Take, on_stderr: Take) -> int:
        """Take whole lines as they come, until the child has ended; return its exit code.

        A code below 0 is a signal's number. Whatever the child started in its group is dead then.
        """
        stdout, stderr = self._streams()
        with selectors.DefaultSelector() as ready:
            for pipe, lines in (
                (self._channel, Lines(on_line)),
                (stdout, Lines(on_stdout, longest=_CHUNK)),
                (stderr, Lines(on_stderr, longest=_CHUNK)),
            ):
                if not pipe.closed:
                    ready.register(pipe, selectors.EVENT_READ, lines)
            while ready.get_map():
                heard = _hear(ready)
                if self._ended() and (not heard or time.monotonic() > self._deaf_at):
                    break
        while not self._ended():
            time.sleep(_IDLE_S / 10)
        return self.process.returncode

    def _ended(self) -> bool:
        now = time.monotonic()
        if self.process.poll() is None:
            if now > self._kill_at:
                self._kill_group()
            return False
        if self._deaf_at == float("inf"):
            self._deaf_at = now + _DRAIN_S
            self._kill_group()
        return True

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _streams(self) -> tuple[IO[bytes], IO[bytes]]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return self.process.stdout, self.process.stderr


class Lines:
    """Cuts bytes into lines of text; a longer one than `longest` comes in pieces, an open end when closed."""

    def __init__(self, take: Take, longest: float = float("inf")) -> None:
        self._take = take
        self._longest = longest
        self._open: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they came."""
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            self._give(end)
        if rest:
            self._open.append(rest)
            self._size += len(rest)
        if self._size >= self._longest:
            self._give(b"")

    def close(self) -> None:
        """Give what has no end of line."""
        if self._open:
            self._give(b"")

    def _give(self, end: bytes) -> None:
        line = b"".join((*self._open, end))
        self._open, self._size = [], 0
        self._take(line.decode("utf-8", "replace"))


@contextlib.contextmanager
def forwarded_sigterm(child: Child) -> Iterator[None]:
    """Hand a SIGTERM that comes meanwhile to the child too, beside the handler that was there.

    Airflow's own handler calls `on_kill` and goes on; the default one would end this process before the child
    had its grace period. Outside the main thread, where Python takes no signals, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGTERM)

    def on_sigterm(number: int, frame: FrameType | None) -> None:
        child.stop()
        if callable(former):
            former(number, frame)

    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)


def _hear(ready: selectors.BaseSelector) -> bool:
    events = ready.select(_IDLE_S)
    for key, _ in events:
        chunk = os.read(key.fd, _CHUNK)
        if chunk:
            key.data.feed(chunk)
        else:
            ready.unregister(key.fileobj)
            key.data.close()
    return bool(events)


def _feed(stdin: IO[bytes], line: str) -> None:
    # A child that died unread says more by its exit code than this pipe can.
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.write(line.encode() + b"\n")


def _ignore(line: str) -> None:
    """Hear without listening, so that a full pipe does not hold up the child's end."""

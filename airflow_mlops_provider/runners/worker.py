"""Main of a child process: `python -m airflow_mlops_provider.runners.worker CHANNEL LIFELINE`, or `--check`.

CHANNEL is the file descriptor that takes messages and the outcome; standard output stays the user's.
LIFELINE is one that the parent holds open: its end means that the parent is gone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from typing import IO, Literal, NoReturn

from airflow_mlops_provider.contracts.protocol import EXIT_CODES, Message, Outcome
from airflow_mlops_provider.runners.execute import answer
from airflow_mlops_provider.runners.stopping import until_stopped

__all__ = ["Channel", "main"]


class Channel(logging.Handler):
    """Writes the protocol's lines, and the log records of this process as messages."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._file: IO[str] = os.fdopen(fd, "w", encoding="utf-8")
        self._writing = threading.RLock()

    def message(self, message: Message) -> None:
        """Send a message at once."""
        line = message.encode()
        with self._writing:
            self._file.write(line + "\n")
            self._file.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a log record; the form that `logging` asks for."""
        self.message(Message(self.format(record), level=_level(record.levelno)))

    def close(self) -> None:
        """Close the pipe without an outcome."""
        self._file.close()
        super().close()

    def outcome(self, outcome: Outcome) -> NoReturn:
        """Send the outcome and end the process."""
        line = outcome.encode()
        # Never released: a thread that still runs must not write behind the outcome.
        self._writing.acquire()
        self._file.write(line + "\n")
        self._file.flush()
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the interpreter's own end: there Arrow's threads abort some processes whose work was done.
        os._exit(EXIT_CODES[outcome.status])


def main(arguments: list[str]) -> None:
    """Answer the request on standard input, or describe this interpreter with `--check`."""
    if arguments == ["--check"]:
        from airflow_mlops_provider.runners.check import describe

        print(json.dumps(describe()))
        return
    channel_fd, lifeline_fd = map(int, arguments)
    threading.Thread(target=_die_with_parent, args=(lifeline_fd,), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]  # both are text files here
    channel = Channel(channel_fd)
    logging.basicConfig(level=logging.INFO, handlers=[channel], format="%(message)s")
    channel.outcome(until_stopped(lambda: answer(sys.stdin.readline(), channel.message)))


def _die_with_parent(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def _level(number: int) -> Literal["debug", "info", "warning", "error"]:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


if __name__ == "__main__":
    main(sys.argv[1:])

"""One container of a pod over its restarts: its state as the API tells it, its logs, its process."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from airflow_mlops_provider.testing.cluster.logs import Log
from airflow_mlops_provider.testing.cluster.objects import Json, stamp
from airflow_mlops_provider.testing.cluster.process import Process

__all__ = ["Container"]

_MESSAGE_BYTES = 4096
_FALLBACK_LINES, _FALLBACK_BYTES = 80, 2048


@dataclass
class Container:
    """`state` is waiting, running or terminated, in the API's form; `last` the one of the run before."""

    spec: Json
    message_file: Path
    init: bool = False
    state: Json = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: Json = field(default_factory=dict)
    restarts: int = 0
    logs: list[Log] = field(default_factory=list)
    process: Process | None = None
    out_of_memory: bool = False
    id: str = ""

    @property
    def name(self) -> str:
        """The container's name in its pod."""
        return str(self.spec["name"])

    @property
    def exit_code(self) -> int | None:
        """The exit code of the run that ended last, None if it is waiting or running."""
        ended = self.state.get("terminated")
        return ended["exitCode"] if ended else None

    def waits(self, reason: str, message: str = "") -> bool:
        """The container waits; tell whether that is news. A run that has ended becomes the last one."""
        waiting = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        if "terminated" in self.state:
            self.last = self.state
        news, self.state = self.state != waiting, waiting
        return news

    def begin(self) -> Log:
        """Return the log of a run that is about to start."""
        if "terminated" in self.state:
            self.last = self.state
        self.restarts = len(self.logs)
        self.logs.append(Log())
        self.id = f"containerd://{secrets.token_hex(32)}"
        self.message_file.write_bytes(b"")
        self.out_of_memory = False
        return self.logs[-1]

    def runs(self, process: Process) -> None:
        """The run has started."""
        self.process = process
        self.state = {"running": {"startedAt": stamp()}}

    def cannot_start(self, said: str) -> None:
        """The command could not be started, in containerd's words and with its exit code."""
        self.logs[-1].close()
        message = f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {said}"
        self._ended(128, "StartError", "1970-01-01T00:00:00Z", message)

    def ended(self, code: int) -> None:
        """The run has ended."""
        reason = "OOMKilled" if self.out_of_memory else "Error" if code else "Completed"
        self._ended(code, reason, self.state["running"]["startedAt"], self._message(code))

    def _ended(self, code: int, reason: str, started: str, message: str) -> None:
        self.process = None
        ended = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": stamp()}
        self.state = {"terminated": ended | ({"message": message} if message else {}) | {"containerID": self.id}}

    def _message(self, code: int) -> str:
        message = self.message_file.read_bytes()[-_MESSAGE_BYTES:].decode(errors="replace")
        falls_back = self.spec["terminationMessagePolicy"] == "FallbackToLogsOnError"
        if not message and code and falls_back:
            return self.logs[-1].tail(lines=_FALLBACK_LINES, size=_FALLBACK_BYTES)
        return message

    def status(self) -> Json:
        """Return the entry of `containerStatuses`."""
        running, done = "running" in self.state, self.exit_code == 0
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last,
            "ready": done if self.init else running,
            "started": running,
            "restartCount": self.restarts,
            "image": self.spec["image"],
            "imageID": f"local/{self.spec['image']}" if self.id else "",
            **({"containerID": self.id} if self.id else {}),
        }

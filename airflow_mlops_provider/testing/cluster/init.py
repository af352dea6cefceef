"""What runs first in a container's namespaces: mounts, host name, signals; then it becomes the container's command.

Standard library alone, and run as a file. It reads its plan, a JSON object, from the socket whose number is its
argument, and with it gets a pipe to tell a failure to. Only this process holds that pipe: it closes without a word
at the moment that the command has started.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

_BIND, _REC, _REMOUNT, _READ_ONLY = 4096, 16384, 32, 1
# Flags that a mount may not lose in a user namespace: nosuid, nodev, noexec, noatime, nodiratime, relatime.
_KEPT = 2 | 4 | 8 | 1024 | 2048 | (1 << 21)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    ends = (os.fsencode(source), os.fsencode(target), kind.encode() if kind else None)
    if _LIBC.mount(*ends, ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {source} on {target}: {os.strerror(number)}")


def _bind(source: str, target: str, *, read_only: bool = False) -> None:
    _mount(source, target, None, _BIND | _REC)
    if read_only:
        kept = os.statvfs(target).f_flag & _KEPT
        _mount(source, target, None, _BIND | _REMOUNT | _READ_ONLY | kept)


def _like(source: str, target: str) -> None:
    """Make the empty file or folder that `source` can be bound on."""
    if Path(source).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()


def _twin(folder: str, scratch: str) -> None:
    """Mount a private folder at `scratch` that has what `folder` has, and room for more.

    The host has no such mount point, and making it there would leave it behind for every other process.
    """
    Path(scratch).mkdir()
    _mount("tmpfs", scratch, "tmpfs", 0)
    for entry in os.scandir(folder):
        twin = f"{scratch}/{entry.name}"
        if entry.is_symlink():
            Path(twin).symlink_to(Path(entry.path).readlink())
        else:
            _like(entry.path, twin)
            _bind(entry.path, twin)


def _make_room(source: str, target: str, scratch: str, volumes: list[str]) -> None:
    """Make the mount point that is not there: in a volume of the pod where it lies in one, else in a twin."""
    parent = next(parent for parent in Path(target).parents if parent.exists())
    if not any(parent.is_relative_to(volume) for volume in volumes):
        _twin(str(parent), scratch)
        if parent == Path("/"):
            # A mount over the root is not seen by who is in it already.
            os.chroot(scratch)
        else:
            _bind(scratch, str(parent))
    _like(source, target)


def _place(mounts: list[dict[str, Any]], scratch: str) -> None:  # Any: the plan's JSON
    # By number, not by path: a volume at /tmp may cover the folders that the others come from.
    sources = {mount["target"]: f"/proc/self/fd/{os.open(mount['source'], os.O_PATH)}" for mount in mounts}
    room = f"/proc/self/fd/{os.open(scratch, os.O_PATH)}"
    volumes: list[str] = []
    # Outer ones first: they would cover those within.
    for number, mount in enumerate(sorted(mounts, key=lambda mount: (mount["target"].count("/"), mount["target"]))):
        source, target = sources[mount["target"]], mount["target"]
        if not Path(target).exists():
            _make_room(source, target, f"{room}/{number}", volumes)
        _bind(source, target, read_only=mount["read_only"])
        if not mount["read_only"] and Path(target).is_dir():
            volumes.append(target)


def _held(path: str) -> str:
    """Return a name of the file or folder that stays right whatever is mounted over the path to it."""
    return f"/proc/self/fd/{os.open(path, os.O_PATH)}"


def _become(plan: dict[str, Any]) -> None:  # Any: the plan's JSON
    _mount("proc", "/proc", "proc", 0)
    _place(plan["mounts"], plan["scratch"])
    socket.sethostname(plan["hostname"])
    Path(plan["cwd"]).mkdir(parents=True, exist_ok=True)
    os.chdir(plan["cwd"])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvpe(plan["command"][0], plan["command"], plan["env"])  # noqa: S606 - this is what a container is


def _asked(number: int) -> tuple[dict[str, Any], int]:  # Any: the plan's JSON
    """Say that process 1 is there, so that it can be found; return the plan and where to tell a failure."""
    with socket.socket(fileno=number) as link:
        link.send(b".")
        _, (teller,), _, _ = socket.recv_fds(link, 1, 1)
        parts = iter(lambda: link.recv(65_536), b"")
        return json.loads(b"".join(parts)), teller


def _not_found(exc: FileNotFoundError, command: str) -> str:
    sought = Path(os.fsdecode(exc.filename)).name == Path(command).name
    return f'exec: "{command}": executable file not found in $PATH' if sought else str(exc)


def _main() -> None:
    _LIBC.prctl(_DEATH_SIGNAL, signal.SIGKILL)
    plan, teller = _asked(int(sys.argv[1]))
    os.set_inheritable(teller, False)
    try:
        _become(plan)
    except FileNotFoundError as exc:
        os.write(teller, _not_found(exc, plan["command"][0]).encode())
    except OSError as exc:
        os.write(teller, str(exc).encode())
    os._exit(128)


if __name__ == "__main__":
    _main()

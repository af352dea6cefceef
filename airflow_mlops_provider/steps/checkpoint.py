"""Checkpoints of a training function, in the lake under its run key: a retry goes on where the last one ended.

`_checkpoints/HASH/PART/` holds two files a checkpoint: the data, then its manifest with size and SHA-256. Without
its manifest, or with another hash, it is none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import DataError, TransientError
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.stopping import Stop, StoppedError

__all__ = ["CHECKPOINT_FOLDER", "Checkpoint", "clear", "kept_beside"]

CHECKPOINT_FOLDER = "_checkpoints"

# The newest, and one before it for where the newest cannot be read.
_KEPT = 2
_CHUNK = 1 << 20
Kind = Literal["bytes", "folder"]
T = TypeVar("T")


class Checkpoint:
    """The checkpoints of one piece of work; `context.checkpoint` in a training function.

    `part` names a part of the work that has checkpoints of its own, `work` what it is made from: a checkpoint of
    the same key and part that was made from something else is left alone. `stop` is the SIGTERM that `save` heeds.
    Without `writes` nothing is kept: of several workers the first one keeps it for all.
    """

    def __init__(
        self,
        lake: Lake,
        run_key: str,
        *,
        part: str = "fit",
        work: str = "",
        emit: Callable[[Message], None] = lambda message: print(message.text),
        stop: Stop | None = None,
        writes: bool = True,
    ) -> None:
        self._lake, self._folder = lake, f"{_root(lake, run_key)}/{part}"
        self._work, self._emit, self._writes = work, emit, writes
        self.stop = stop or Stop()
        self._take: Callable[[], bytes] | None = None
        self._said = "no checkpoint was saved, so a retry begins anew"

    def save(self, data: bytes, step: int | None = None) -> None:
        """Keep `data` as the newest checkpoint; `step` is how far it is, in the log's words only.

        It appears whole or not at all. A store that fails is a warning: the training goes on, and the checkpoint
        before stays the newest. Once SIGTERM came to a function that looks at `context.stopping`, this ends it.
        """
        if not isinstance(data, bytes):
            raise DataError(f"checkpoint.save takes bytes, not {type(data).__name__}; see also save_dir")
        self._save("bytes", lambda sink: sink.write(data), step)

    def save_dir(self, path: str | Path, step: int | None = None) -> None:
        """Keep the folder `path` with all that is in it; else as `save`."""
        if not Path(path).is_dir():
            raise DataError(f"checkpoint.save_dir: {path} is no folder")

        def fill(sink: Any) -> None:  # tarfile asks for less than its types do
            with tarfile.open(fileobj=sink, mode="w|") as archive:
                archive.add(path, arcname=".")

        self._save("folder", fill, step)

    def restore(self) -> bytes | None:
        """Return the newest whole checkpoint that `save` kept, or None where there is none."""
        return self._restored("bytes", lambda source: source.read())

    def restore_dir(self, path: str | Path) -> bool:
        """Make `path` the folder that `save_dir` kept last; False, and nothing is touched, where there is none.

        What was in `path` before is gone then. Raises DataError if that is the working directory or above it.
        """
        target = Path(path).resolve()
        if Path.cwd().is_relative_to(target):
            raise DataError(f"checkpoint.restore_dir replaces {path}: give a folder of its own")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")

        def unpack(source: Any) -> bool:  # as above
            with tarfile.open(fileobj=source, mode="r|") as archive:
                archive.extractall(part, filter="data")
            return True

        try:
            if self._restored("folder", unpack, again=lambda: shutil.rmtree(part, ignore_errors=True)) is None:
                return False
            shutil.rmtree(target, ignore_errors=True)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return True

    def on_stop(self, take: Callable[[], bytes]) -> None:
        """Keep what `take` returns when SIGTERM ends the function, which it then does wherever it is.

        For a function without a loop of its own. `take` is called once the function is left, so let it return a
        state that was whole at some moment, not the one under work.
        """
        self._take = take
        self.stop.keeps = True

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """Let SIGTERM end what runs here in order. Raises TransientError where it did."""
        try:
            with self.stop.caught():
                yield
        except StoppedError:
            if self._take is not None and not self.stop.looked:
                self.save(self._take())
        else:
            if not self.stop.seen:
                return
        raise TransientError(f"stopped by SIGTERM: {self._said}")

    def _save(self, kind: Kind, fill: Callable[[_Counted], object], step: int | None) -> None:
        if not self._writes:
            self._said = "a retry resumes from what the first worker kept"
            self.stop.check()
            return
        named = "the checkpoint" if step is None else f"the checkpoint of step {step}"
        try:
            self._write(kind, fill, step)
            self._said = f"a retry resumes from {named}"
        except Exception as exc:  # noqa: BLE001  # stores share no error; hours of work must outlive a full one
            self._warn(f"{named} could not be written, the one before it stays: {type(exc).__name__}: {exc}")
        self.stop.check()

    def _write(self, kind: Kind, fill: Callable[[_Counted], object], step: int | None) -> None:
        older = self._names()
        number = int(older[-1].partition("-")[0]) + 1 if older else 1
        # Not the number alone: a try that was given up may still write.
        name = f"{number:08d}-{uuid.uuid4().hex[:8]}"
        with self._lake.replacing(f"{self._folder}/{name}.data") as sink:
            counted = _Counted(sink)
            fill(counted)
        manifest = {
            "kind": kind,
            "step": step,
            "bytes": counted.count,
            "sha256": counted.hash.hexdigest(),
            "work": self._work,
            "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._lake.put(f"{self._folder}/{name}.json", json.dumps(manifest).encode())
        self._prune({*older[1 - _KEPT :], name})

    def _prune(self, kept: set[str]) -> None:
        filesystem, folder = self._lake.filesystem(self._folder)
        for path in filesystem.find(folder):
            if path.rpartition("/")[2].partition(".")[0] not in kept:
                filesystem.rm(path)

    def _names(self) -> list[str]:
        """Return the names of the checkpoints that have a manifest, oldest first."""
        filesystem, folder = self._lake.filesystem(self._folder)
        names = (path.rpartition("/")[2] for path in filesystem.find(folder))
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def _restored(self, kind: Kind, take: Callable[[_Counted], T], again: Callable[[], object] = bool) -> T | None:
        """Return what `take` makes of the newest checkpoint that is whole; `again` is called after one that is not."""
        for name in reversed(self._names()):
            try:
                manifest = json.loads(self._lake.get(f"{self._folder}/{name}.json") or b"{}")
                found = self._read(name, manifest, kind, take)
            except DataError:
                raise
            except Exception as exc:  # noqa: BLE001  # whatever is wrong with this one, the one before it may be whole
                self._warn(f"checkpoint {name} cannot be used, the one before it is: {type(exc).__name__}: {exc}")
                again()
                continue
            named = f"the checkpoint of {manifest['saved_at']}"
            named += "" if manifest["step"] is None else f", step {manifest['step']}"
            self._said = f"a retry resumes from {named}"
            self._emit(Message(f"going on from {named}"))
            return found
        return None

    def _read(self, name: str, manifest: dict[str, Any], kind: Kind, take: Callable[[_Counted], T]) -> T:
        if manifest["work"] != self._work:
            raise ValueError("it was made from other data or parameters")
        if manifest["kind"] != kind:
            raise DataError(
                f"the checkpoint holds {manifest['kind']}: restore() is for save(), restore_dir() for save_dir()"
            )
        with self._lake.source(f"{self._folder}/{name}.data") as source:
            counted = _Counted(source)
            found = take(counted)
            while counted.read(_CHUNK):
                pass
        if (counted.count, counted.hash.hexdigest()) != (manifest["bytes"], manifest["sha256"]):
            raise ValueError(f"its {counted.count:,} bytes are not the {manifest['bytes']:,} that were written")
        return found

    def _warn(self, text: str) -> None:
        self._emit(Message(text, level="warning"))


class _Counted:
    """A file whose bytes are counted and hashed as they pass."""

    def __init__(self, file: Any) -> None:  # whatever file the lake's store opens
        self._file = file
        self.count = 0
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._passed(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._passed(data)
        return data

    def _passed(self, data: bytes) -> None:
        self.count += len(data)
        self.hash.update(data)


def kept_beside(lake: Lake, run_key: str, name: str) -> str:
    """Return the path of a file that lives as long as the checkpoints of this work."""
    return f"{_root(lake, run_key)}/{name}"


def clear(lake: Lake, run_key: str) -> None:
    """Remove what was kept under a run key: the work is done."""
    filesystem, folder = lake.filesystem(_root(lake, run_key))
    if filesystem.exists(folder):
        filesystem.rm(folder, recursive=True)


def _root(lake: Lake, run_key: str) -> str:
    return f"{lake.root}/{CHECKPOINT_FOLDER}/{hashlib.sha256(run_key.encode()).hexdigest()[:32]}"

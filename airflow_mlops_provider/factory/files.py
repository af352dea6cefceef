"""The bundle's files as the checks of a pipeline file see them; what was seen is kept, so it can be looked at again."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.errors import nearest

__all__ = ["MAX_BYTES", "Files", "Seen", "content"]

# Of a pipeline file; `load` refuses a larger one.
MAX_BYTES = 512 * 1024

# What was looked for (inside, file, folder, document, sha256), the path below the bundle, and the answer. JSON.
Seen = tuple[str, str, bool | str | None]


class Files:
    """A bundle's folder, of which nothing is looked at twice: one plan rests on one sight of each file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._resolved = root.resolve()
        self._root, self._inside = str(root), f"{str(self._resolved).rstrip('/')}/"
        self._answers: dict[tuple[str, str], bool | str | None] = {}
        self._contents: dict[str, bytes] = {}

    def inside(self, path: str) -> bool:
        """Return whether a path stays below the bundle, its links followed."""
        return self._answer("inside", path) is True

    def is_file(self, path: str) -> bool:
        """Return whether there is such a file."""
        return self._answer("file", path) is True

    def is_folder(self, path: str) -> bool:
        """Return whether there is such a folder."""
        return self._answer("folder", path) is True

    def content(self, path: str) -> bytes:
        """Return a file's bytes. Raises OSError if it cannot be read."""
        if path not in self._contents:
            self._contents[path] = (self.root / path).read_bytes()
            self._answers["sha256", path] = hashlib.sha256(self._contents[path]).hexdigest()
        return self._contents[path]

    def document(self, path: str) -> bytes | None:
        """Return the bytes of a YAML file, or the beginning of one that is too large; None where there is none.

        Raises ConfigError if it is there and cannot be read.
        """
        try:
            raw = _beginning(os.path.join(self._root, path))  # noqa: PTH118
        except OSError as exc:
            raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
        self._answers["document", path] = hashlib.sha256(raw).hexdigest() if raw is not None else None
        return raw

    def near(self, path: str) -> str:
        """Return `. Did you mean 'x'?` for the nearest name beside a path that is not there, or nothing.

        For errors alone, which are not kept: what it sees is not among `seen`.
        """
        wanted = self.root / path
        try:
            found = [one.name for one in wanted.parent.iterdir()]
        except OSError:
            return ""
        return nearest(wanted.name, found, cutoff=0.75)  # endings make names alike

    def name(self, path: Path) -> str:
        """Return what errors and plans call a file: its path below the bundle, the same on every machine."""
        absolute = path.resolve()
        return absolute.relative_to(self._resolved).as_posix() if self._below(absolute) else path.name

    def seen(self) -> list[Seen]:
        """Return all that was looked at so far."""
        return [(what, path, answer) for (what, path), answer in self._answers.items()]

    def show(self, seen: Iterable[Seen]) -> bool:
        """Return whether a look at the same places finds the same."""
        return all(self._answer(what, path) == answer for what, path, answer in seen)

    def _answer(self, what: str, path: str) -> bool | str | None:
        if (what, path) not in self._answers:
            self._answers[what, path] = self._look(what, path)
        return self._answers[what, path]

    def _look(self, what: str, path: str) -> bool | str | None:
        if "\0" in path:
            return False  # no file system has such a name
        # Texts and not paths: of a kept plan this is most of the time.
        found = os.path.join(self._root, path)  # noqa: PTH118
        if what == "inside":
            return f"{os.path.realpath(found)}/".startswith(self._inside)
        if what == "file":
            return os.path.isfile(found)  # noqa: PTH113
        if what == "folder":
            return os.path.isdir(found)  # noqa: PTH112
        if what == "document":
            try:
                raw = _beginning(found)
            except OSError:
                return "unreadable"
            return hashlib.sha256(raw).hexdigest() if raw is not None else None
        try:
            return hashlib.sha256(Path(found).read_bytes()).hexdigest()
        except OSError:
            return None  # never what a plan was made from

    def _below(self, absolute: Path) -> bool:
        return absolute.is_relative_to(self._resolved)


def content(path: Path) -> bytes:
    """Return a file's bytes, or the beginning of one that is too large. Raises ConfigError if it cannot be read."""
    try:
        return _read(str(path))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _beginning(path: str) -> bytes | None:
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _read(path: str) -> bytes:
    # Not Path.open: a kept plan looks for defaults in each folder.
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        return file.read(MAX_BYTES + 1)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # never to wait for who writes into a pipe

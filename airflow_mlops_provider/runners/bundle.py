"""A pipeline's own files as one zip through the lake: what was packed when the pod was asked for is what it runs."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.pod import CODE_FOLDER
from airflow_mlops_provider.exceptions import DataError, MissingExtraError, TransientError

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.lake import Lake

__all__ = ["MAX_BYTES", "SUFFIXES", "fetch", "pack", "ship", "unpack"]

SUFFIXES = frozenset({".py", ".sql", ".json", ".yaml", ".yml", ".csv", ".md", ".txt", ".toml"})
MAX_BYTES = 20 * 2**20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3
# `maintain` keeps a zip for three days at least; one that is in use is written again when it is a day old.
_FRESH = timedelta(days=1)


def ship(root: str, folder: str | Path, connection: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return `path` below the lake's root and `sha256` of the zip of a folder, written there if it is not yet.

    `connection` has Airflow's fields of the lake's store. Raises DataError as `pack` does, and MissingExtraError where
    the tools of a lake are not installed.
    """
    lake = _lake(root, connection)
    content = pack(folder, leave_out=None if "://" in root else Path(root))
    digest = hashlib.sha256(content).hexdigest()
    path = f"{CODE_FOLDER}/{digest}.zip"
    if not _is_fresh(lake, path):
        lake.put(f"{lake.root}/{path}", content)
    return {"path": path, "sha256": digest}


def fetch(root: str, code: Mapping[str, str], folder: str | Path, connection: Mapping[str, Any] | None = None) -> None:
    """Unpack what `ship` wrote into a folder. Raises DataError if it is not that, TransientError if it is gone."""
    lake = _lake(root, connection)
    content = lake.get(f"{lake.root}/{code['path']}")
    if content is None:
        raise TransientError(f"{code['path']} is not in the lake {root}; a retry packs the bundle again")
    unpack(content, folder, code["sha256"])


def pack(folder: str | Path, *, leave_out: Path | None = None) -> bytes:
    """Return a zip of the files below a folder that end in one of `SUFFIXES`: the same files, the same bytes.

    Hidden files and folders, `__pycache__` and the folder `leave_out` stay out. Raises DataError for a folder that
    is a link, a file that is a link out of the folder, and for more than `MAX_BYTES`.
    """
    root = Path(folder).resolve()
    files = sorted(
        _files(root, leave_out.resolve() if leave_out else None), key=lambda p: p.relative_to(root).as_posix()
    )
    total = sum(path.stat().st_size for path in files)
    if total > MAX_BYTES:
        largest = max(files, key=lambda path: path.stat().st_size).relative_to(root)
        raise DataError(
            f"the bundle {root} has {total / 2**20:.1f} MiB of files for a pod, at most {MAX_BYTES / 2**20:.0f} are "
            f"sent; the largest is {largest}. Set `bundle` to the pipeline's own folder, or use `code: image`"
        )
    sink = io.BytesIO()
    # Stored: compressed, each version of zlib would give other bytes.
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
            entry.create_system, entry.external_attr = _UNIX, _FILE
            archive.writestr(entry, path.read_bytes())
    return sink.getvalue()


def unpack(content: bytes, folder: str | Path, sha256: str) -> None:
    """Write a zip's files into a folder. Raises DataError, with nothing written, if it is not whole and harmless."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(f"the zip of the bundle has sha256 {digest}, not {sha256}: it is not what was packed")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            _check(entries)
            for entry in entries:
                target = Path(folder, entry.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(entry))
    except zipfile.BadZipFile as exc:
        raise DataError(f"the zip of the bundle cannot be read: {exc}") from exc


def _files(root: Path, leave_out: Path | None) -> Iterator[Path]:
    for here, folders, names in os.walk(root):
        kept = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        folders[:] = [name for name in kept if Path(here, name) != leave_out]
        for name in folders:
            if Path(here, name).is_symlink():
                raise DataError(f"{Path(here, name)} is a link to a folder: a pod's bundle holds folders only")
        for name in names:
            path = Path(here, name)
            if path.suffix in SUFFIXES and not name.startswith("."):
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    raise DataError(f"{path} is a link out of the bundle {root}: a pod would not find its file")
                yield path


def _check(entries: list[zipfile.ZipInfo]) -> None:
    for entry in entries:
        path = PurePosixPath(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or kind not in (0, stat.S_IFREG):
            raise DataError(f"the zip of the bundle holds {entry.filename!r}, which is no file below its folder")
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise DataError(f"the zip of the bundle holds more than {MAX_BYTES / 2**20:.0f} MiB")


def _lake(root: str, connection: Mapping[str, Any] | None) -> Lake:
    try:
        from airflow_mlops_provider.steps.lake import Lake
    except ModuleNotFoundError as exc:
        raise MissingExtraError(str(exc.name), "lake") from exc
    return Lake(root, connection)


def _is_fresh(lake: Lake, path: str) -> bool:
    filesystem, target = lake.filesystem(f"{lake.root}/{path}")
    try:
        written: datetime = filesystem.modified(target)
    except FileNotFoundError:
        return False
    return datetime.now(UTC) - written < _FRESH

"""Plans kept from one parse to the next in a private folder: a kept one builds no models and loads no contracts."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pydantic
import yaml

from airflow_mlops_provider import __version__
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.files import Files, content
from airflow_mlops_provider.factory.plan import PipelinePlan, plans_of

__all__ = ["kept", "kept_plans"]

_LOG = logging.getLogger(__name__)
_DAYS_KEPT = 30
_SWEEP_S = 86_400


def kept_plans(
    path: Path, *, bundle: Path, config: FactoryConfig, folder: Path, only: str | None = None
) -> list[PipelinePlan]:
    """Return the plans of a file, from `folder` if everything that they were made from is as it was.

    That is the file's bytes, the settings, this package and Python, what lies under the file and all that the checks
    saw in the bundle: each is looked at again, so no error that a fresh parse finds is hidden; errors are not kept.
    `only` is the pipeline that is wanted, where a matrix makes several. `folder` is made where it is missing. It is
    left alone, and the plans made afresh, where it cannot be written, is not this user's alone or lies in the bundle:
    who writes pipeline files must not write plans. Raises PipelineFileError with every error of the file.
    """
    files = Files(bundle)
    raw, name = content(path), files.name(path)

    def made() -> list[PipelinePlan]:
        return plans_of(raw, name, files, config, only=only)

    return kept(raw, [name, config.environment], made, files=files, config=config, folder=folder, only=only)


def kept(
    raw: bytes,
    what: list[str | None],
    made: Callable[[], list[PipelinePlan]],
    *,
    files: Files,
    config: FactoryConfig,
    folder: Path,
    only: str | None,
) -> list[PipelinePlan]:
    """Return what `made` returns, which depends on `raw`, `config` and what `files` saw; `what` names the entry.

    An entry that was made for one pipeline alone stands beside the one for all of them.
    """
    if not _private(folder, files.root):
        return made()
    # One entry a file: its next version takes its place.
    entries = [
        folder / _digest(json.dumps([str(files.root.absolute()), *what, *one]).encode())
        for one in ([], [only])[: 1 if only is None else 2]
    ]
    key = _digest(json.dumps([_digest(raw), astuple(config), *_code()]).encode())
    for entry in entries:
        found = _kept(entry, key, files.root, only)
        if found is not None:
            return found
    plans = made()
    _keep(entries[-1], {"key": key, "seen": files.seen(), "names": [plan.pipeline for plan in plans]}, plans)
    return plans


def _kept(entry: Path, key: str, bundle: Path, only: str | None) -> list[PipelinePlan] | None:
    try:
        digest, _, body = entry.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != _digest(body).encode():
        return None  # cut short, or not written here
    head, *lines = body.splitlines()
    data = json.loads(head)
    if data["key"] != key or not Files(bundle).show(data["seen"]):
        return None
    names = data["names"]
    wanted = [line for line, name in zip(lines, names, strict=True) if len(names) == 1 or only in (None, name)]
    plans = [PipelinePlan.from_json(json.loads(line)) for line in wanted]
    return plans if all(_is_zone(plan.timezone) for plan in plans) else None


def _keep(entry: Path, data: dict[str, Any], plans: list[PipelinePlan]) -> None:
    """Put an entry in place whole: another process sees the old one or this one. A line a plan: few are read."""
    body = "\n".join([json.dumps(data), *(plan.as_text() for plan in plans)]).encode()
    try:
        handle, part = tempfile.mkstemp(dir=entry.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(body).encode() + b"\n" + body)
            Path(part).replace(entry)
        finally:
            Path(part).unlink(missing_ok=True)
        _forget(entry.parent)
    except OSError as exc:
        _LOG.debug("no plan kept in %s: %s", entry.parent, exc)


def _forget(folder: Path) -> None:
    """Remove what is old, once a day: entries of files and bundle versions that are gone; one still read comes back."""
    swept, now = folder / "swept", time.time()
    # Not at each entry: a thousand new files would look at each other half a million times.
    if swept.exists() and now - swept.stat().st_mtime < _SWEEP_S:
        return
    swept.touch()
    for found in folder.iterdir():
        if found.stat().st_mtime < now - _DAYS_KEPT * 86_400:
            found.unlink()


def _private(folder: Path, bundle: Path) -> bool:
    if folder.resolve().is_relative_to(bundle.resolve()):
        return False
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


@cache
def _code() -> list[Any]:
    """Return what else a plan depends on; the files' times, because a checkout changes under one version."""
    package = Path(__file__).parents[1]
    modules = [*package.glob("contracts/*.py"), *package.glob("factory/*.py")]
    stamps = sorted((str(module), (at := module.stat()).st_mtime_ns, at.st_size) for module in modules)
    return [__version__, sys.version, pydantic.VERSION, yaml.__version__, stamps]


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

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
from airflow_mlops_provider.factory.plan import PipelinePlan, plan_of

__all__ = ["kept_plan"]

_LOG = logging.getLogger(__name__)
_DAYS_KEPT = 30


def kept_plan(path: Path, *, bundle: Path, config: FactoryConfig, folder: Path) -> PipelinePlan:
    """Return the plan of a file, from `folder` if everything that it was made from is as it was.

    That is the file's bytes, the settings, this package and Python, and all that the checks saw in the bundle:
    each is looked at again, so no error that a fresh parse finds is hidden; errors are not kept. `folder` is made
    where it is missing. It is left alone, and the plan made afresh, where it cannot be written, is not this
    user's alone or lies in the bundle: who writes pipeline files must not write plans.
    Raises PipelineFileError with every error of the file.
    """
    files = Files(bundle)
    raw, name = content(path), files.name(path)
    if not _private(folder, bundle):
        return plan_of(raw, name, files, config)
    # One entry a file: its next version takes its place.
    entry = folder / _digest(json.dumps([str(bundle.resolve()), name, config.environment]).encode())
    key = _digest(json.dumps([_digest(raw), astuple(config), *_code()]).encode())
    found = _kept(entry, key, bundle)
    if found is None:
        found = plan_of(raw, name, files, config)
        _keep(entry, {"key": key, "seen": files.seen(), "plan": found.as_json()})
    return found


def _kept(entry: Path, key: str, bundle: Path) -> PipelinePlan | None:
    try:
        digest, _, body = entry.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != _digest(body).encode():
        return None  # cut short, or not written here
    data = json.loads(body)
    if data["key"] != key or not Files(bundle).show(data["seen"]):
        return None
    plan = PipelinePlan.from_json(data["plan"])
    return plan if _is_zone(plan.timezone) else None


def _keep(entry: Path, data: dict[str, Any]) -> None:
    """Put an entry in place whole: another process sees the old one or this one."""
    body = json.dumps(data).encode()
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
    """Remove what is old: entries of files and bundle versions that are gone; one still read is made again."""
    oldest = time.time() - _DAYS_KEPT * 86_400
    for found in folder.iterdir():
        if found.stat().st_mtime < oldest:
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

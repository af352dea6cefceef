"""Pipeline files below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.files import content

__all__ = ["pipeline_files", "pipelines_below", "yaml_below"]

# By the text and not by the YAML: a file that is broken is not to be passed over.
_PIPELINE = re.compile(rb"""^(?:\{\s*)?["']?pipeline["']?[ \t]*:""", re.MULTILINE)


def pipeline_files(paths: Iterable[Path]) -> list[tuple[Path, Path | None]]:
    """Return each file once, with the folder that it was found in (None: it was named itself).

    Of a folder those that end in .yaml or .yml and have a key `pipeline` at the margin, hidden folders left out, in
    the order of their names. Raises ConfigError for a folder that has none.
    """
    found: dict[Path, tuple[Path, Path | None]] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path.resolve(), (path, None))
            continue
        below = pipelines_below(path)
        if not below:
            raise ConfigError(f"{path}: no pipeline file below it; one ends in .yaml and has the key `pipeline`")
        for file in below:
            found.setdefault(file.resolve(), (file, path))
    return list(found.values())


def pipelines_below(folder: Path) -> list[Path]:
    """Return a folder's pipeline files, in the order of their names."""
    return [file for file in yaml_below(folder) if _is_pipeline(file)]


def yaml_below(folder: Path) -> Iterator[Path]:
    """Yield what ends in .yaml or .yml below a folder, hidden ones left out, in the order of their names."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith((".yaml", ".yml")) and not name.startswith("."):
                yield Path(place) / name


def _is_pipeline(path: Path) -> bool:
    try:
        head = content(path)
    except ConfigError:
        return True  # lint says that it cannot be read
    # Without the marks of UTF-16, which is refused, but with its own error.
    return _PIPELINE.search(head.lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\0", b"")) is not None

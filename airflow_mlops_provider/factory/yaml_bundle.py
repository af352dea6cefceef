"""A DAG bundle of pipeline files alone: no loader beside them.

In airflow.cfg:

    [dag_processor]
    dag_bundle_config_list = [{"name": "pipelines",
      "classpath": "airflow_mlops_provider.factory.yaml_bundle.YamlBundle", "kwargs": {"path": "/opt/pipelines"}}]
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.dag_processing.bundles.local import LocalDagBundle
from airflow.sdk import DAG

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.build import file_dags
from airflow_mlops_provider.factory.find import pipelines_below, yaml_below
from airflow_mlops_provider.operators.bundle import SOURCES

__all__ = ["YamlBundle", "bundle_dags"]

_LOG = logging.getLogger(__name__)
# Airflow takes a file for DAGs only if it names both; the line is data, so any file name may stand in it.
_LOADER = """\
# Written by YamlBundle for Airflow's DAG processor; written anew as the pipeline files change.
from airflow_mlops_provider.factory.yaml_bundle import bundle_dags

globals().update(bundle_dags(__file__, {source!r}, {file!r}))
"""


class YamlBundle(LocalDagBundle):
    """Every pipeline file below `path` becomes its DAGs; a broken one an import error of its own, with its line.

    Airflow reads Python files only, so each pipeline file has a loader in this bundle's own folder of Airflow's bundle
    storage, not beside it: `path` may be read-only. Functions and paths are relative to `path`, as in every bundle.
    Python files below `path` are not taken for DAGs. Like Airflow's own local bundle it has no versions.
    """

    def __init__(self, *, path: str, **kwargs: Any) -> None:  # what Airflow's own take besides
        super().__init__(path=path, **kwargs)
        self.source = Path(path)

    @property
    def path(self) -> Path:
        """The folder of the loaders; `source` is the one of the pipeline files."""
        return Path(self.base_dir)

    def initialize(self) -> None:
        """Write the loaders if a file changed: a worker does this before each task, maybe first on its machine."""
        if self._stamps() != _read(self._known):
            self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Write a loader for each pipeline file, as old as what makes it, and remove those whose file is gone.

        Raises ConfigError where `path` is no folder: that is no order to delete every pipeline.
        """
        with self.lock():
            stamps = self._stamps()
            pipelines = [file for file in pipelines_below(self.source) if _is_text(file)]
            # What is laid under pipelines; any of them may be under any.
            under = max(map(_changed, {*yaml_below(self.source)}.difference(pipelines)), default=0)
            wanted = {self.path / _loader_of(file.relative_to(self.source)): file for file in pipelines}
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for loader, file in wanted.items():
                _keep(loader, file, self.source, under)
            for known in self.path.rglob("*.py"):
                if known not in wanted:
                    known.unlink()
            _write(self._known, stamps)

    @property
    def _known(self) -> Path:
        return self.path / "files.txt"

    def _stamps(self) -> str:
        """Return every YAML file with its time and size. Raises ConfigError where there is no such folder."""
        if not self.source.is_dir():
            raise ConfigError(f"bundle {self.name}: {self.source} is no folder")
        found: list[str] = []
        for file in filter(_is_text, yaml_below(self.source)):
            # Gone since it was listed, as under a git-sync, or a link that leads nowhere: its loader says so.
            with suppress(OSError):
                stat = file.stat()
                found.append(f"{file}\t{stat.st_mtime_ns}\t{stat.st_size}\n")
        return "".join(found)


def bundle_dags(loader: str, source: str, file: str) -> dict[str, DAG]:
    """Return the DAGs of one pipeline file of a bundle, for its loader; what is wrong with it is raised."""
    SOURCES[loader] = source
    if source not in sys.path:
        # Where Airflow puts a bundle's folder: behind all else.
        sys.path.append(source)
    return file_dags(Path(source, file), loader, bundle=source)


def _is_text(file: Path) -> bool:
    """Return whether a file's name is UTF-8, as Airflow's database wants it; one that is not is passed over."""
    if str(file).isprintable():
        return True
    _LOG.warning("%r is passed over: rename it", file)
    return False


def _loader_of(file: Path) -> Path:
    """Return a loader's place: with the ending in its name, for `a.yaml` and `a.yml` are two files."""
    return file.with_name(f"{file.stem}_{file.suffix.removeprefix('.')}.py")


def _keep(loader: Path, file: Path, source: Path, under: int) -> None:
    text = _LOADER.format(source=str(source), file=file.relative_to(source).as_posix())
    if _read(loader) != text:
        loader.parent.mkdir(parents=True, exist_ok=True)
        _write(loader, text)
    changed = max(_changed(file), under)
    # The DAG processor reads files that changed before those whose turn it is.
    os.utime(loader, ns=(changed, changed))


def _changed(file: Path) -> int:
    """Return when a file changed, in ns; 0 where it cannot be looked at, or is gone since."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None


def _write(path: Path, text: str) -> None:
    """Put a file in place whole: another process sees the old one or this one."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)

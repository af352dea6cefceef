"""The DAG bundle: the folder that paths and functions are relative to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops_provider.exceptions import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["SOURCES", "bundle_of", "bundle_of_task", "folder_below"]

# Of a YamlBundle's loaders that this process read: the folder of the pipeline files, which the DAG does not name.
SOURCES: dict[str, str] = {}


def bundle_of(file: Path) -> Path:
    """Return the root of the bundle that holds a file: Airflow puts it on the path. Else the file's folder."""
    file = file.resolve()
    roots = [Path(entry).resolve() for entry in sys.path if entry]
    holding = [root for root in roots if file.is_relative_to(root)]
    return max(holding, key=lambda root: len(root.parts), default=file.parent)


def folder_below(bundle: str | Path | None, file: Path) -> str:
    """Return a folder relative to the bundle that holds `file`; empty for None and for the bundle's own root.

    Relative, because what is serialized must not name a machine's path. Raises ConfigError outside the bundle.
    """
    if bundle is None:
        return ""
    root, folder = bundle_of(file), Path(bundle).resolve()
    if not folder.is_relative_to(root):
        raise ConfigError(f"bundle {str(bundle)!r} lies outside the DAG bundle {root}")
    return "" if folder == root else folder.relative_to(root).as_posix()


def bundle_of_task(context: Context) -> str:
    """Return the root of a running task's bundle, at the version that its run has."""
    instance = getattr(context["ti"], "bundle_instance", None)
    # `dag.test()` gives none.
    if instance is None:
        loader = context["dag"].fileloc
        return SOURCES.get(loader) or str(bundle_of(Path(loader)))
    # Of a YamlBundle the pipeline files' own folder: its path holds their loaders.
    return str(getattr(instance, "source", instance.path))

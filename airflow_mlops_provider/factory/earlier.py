"""An earlier version of a pipeline file: another file, or the same one at a revision of its git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.files import content
from airflow_mlops_provider.factory.load import decoded
from airflow_mlops_provider.factory.plan_data import PipelinePlan
from airflow_mlops_provider.factory.planning import planned
from airflow_mlops_provider.factory.validate import pipeline_of

__all__ = ["earlier_bytes", "earlier_plan"]

_TIMEOUT_S = 60


def earlier_plan(against: str, path: Path, config: FactoryConfig) -> PipelinePlan:
    """Return the plan of `against`, a file or a git revision of `path`, under `config`'s environment.

    Its shape alone is checked: what it names may be gone by now. Raises PipelineFileError where its shape is not that
    of a pipeline file today, ConfigError where it cannot be read.
    """
    name, raw = earlier_bytes(against, path)
    document = decoded(raw, name).merged(config.environment)
    return planned(document, pipeline_of(document), environment=config.environment, lake=config.lake)


def earlier_bytes(against: str, path: Path) -> tuple[str, bytes]:
    """Return what errors call the earlier version, and its bytes. Raises ConfigError where there is none."""
    if Path(against).is_file():
        return against, content(Path(against))
    folder = path.resolve().parent
    repository = _git(folder, "rev-parse", "--git-dir")
    if repository.returncode != 0:
        raise ConfigError(
            f"--against {against}: no such file, and no revision, for {folder} has none: {_said(repository)}"
        )
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{against}^{{commit}}")
    if commit.returncode != 0:
        raise ConfigError(f"--against {against}: no such file, and git knows no such revision; is it fetched?")
    # Not `git show`: that would run a filter that the repository's settings name.
    blob = _git(folder, "cat-file", "blob", f"{commit.stdout.decode().strip()}:./{path.resolve().name}")
    if blob.returncode != 0:
        raise ConfigError(
            f"--against {against}: {path} is not in that revision; where it had another name, or is new, give a file"
        )
    return f"{against}:{path}", blob.stdout


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603  # no shell; what is given stands behind --end-of-options
            ["git", *arguments],  # noqa: S607  # the user's own git
            cwd=folder,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as exc:
        raise ConfigError("--against: a revision is read by git, which is not installed; give a file") from exc
    except subprocess.TimeoutExpired as exc:
        raise ConfigError(f"--against: git {arguments[0]} did not answer within {_TIMEOUT_S} s") from exc


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else f"git ended with {done.returncode}"

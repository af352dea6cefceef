"""Earlier versions of a pipeline file: another file, or the same one at a revision of its git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.compose import composed
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.files import Files, content
from airflow_mlops_provider.factory.matrix import variants
from airflow_mlops_provider.factory.plan_data import PipelinePlan
from airflow_mlops_provider.factory.planning import planned
from airflow_mlops_provider.factory.validate import pipeline_of

__all__ = ["earlier_bytes", "earlier_plans"]

_TIMEOUT_S = 60


def earlier_plans(
    against: str, path: Path, config: FactoryConfig, bundle: Path, *, only: str | None = None
) -> list[PipelinePlan]:
    """Return the plans of `against`, a file or a git revision of `path`, under `config`'s environment.

    `only` is the pipeline that is wanted, where a matrix made several; there may have been none of that name. What
    lies under the file is that of the revision, too. Its shape alone is checked: what it names may be gone by now.
    Raises PipelineFileError where its shape is not that of a pipeline file today, ConfigError where it cannot be read.
    """
    name, raw = earlier_bytes(against, path)
    if Path(against).is_file():
        document = composed(raw, name, files := Files(bundle), place=files.name(Path(against)))
    else:
        then = _Revision(bundle, _commit(against, path.resolve().parent))
        document = composed(raw, name, then, place=then.name(path), shown=lambda other: f"{against}:{other}")
    made = variants(document.merged(config.environment), only)
    if errors := [error for variant in made for error in variant.errors]:
        raise PipelineFileError(errors)
    found = [(variant.document, pipeline_of(variant.document)) for variant in made]
    return [planned(*one, environment=config.environment, lake=config.lake) for one in found]


class _Revision(Files):
    """A bundle's files as they were at a revision that git knows."""

    def __init__(self, root: Path, commit: str) -> None:
        super().__init__(root)
        self._commit = commit

    def inside(self, path: str) -> bool:
        """Return whether a path stays below the bundle; git follows no links."""
        return ".." not in PurePosixPath(path).parts

    def document(self, path: str) -> bytes | None:
        """Return a file's bytes then; None where there was none."""
        blob = _blob(self.root.resolve(), self._commit, path)
        return blob.stdout if blob.returncode == 0 else None

    def near(self, path: str) -> str:  # noqa: ARG002  # as in Files
        """Return nothing: what lies there now says nothing of then."""
        return ""


def earlier_bytes(against: str, path: Path) -> tuple[str, bytes]:
    """Return what errors call the earlier version, and its bytes. Raises ConfigError where there is none."""
    if Path(against).is_file():
        return against, content(Path(against))
    folder = path.resolve().parent
    blob = _blob(folder, _commit(against, folder), path.resolve().name)
    if blob.returncode != 0:
        raise ConfigError(
            f"--against {against}: {path} is not in that revision; where it had another name, or is new, give a file"
        )
    return f"{against}:{path}", blob.stdout


def _commit(against: str, folder: Path) -> str:
    repository = _git(folder, "rev-parse", "--git-dir")
    if repository.returncode != 0:
        raise ConfigError(
            f"--against {against}: no such file, and no revision, for {folder} has none: {_said(repository)}"
        )
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{against}^{{commit}}")
    if commit.returncode != 0:
        raise ConfigError(f"--against {against}: no such file, and git knows no such revision; is it fetched?")
    return commit.stdout.decode().strip()


def _blob(folder: Path, commit: str, path: str) -> subprocess.CompletedProcess[bytes]:
    # Not `git show`: that would run a filter that the repository's settings name.
    return _git(folder, "cat-file", "blob", f"{commit}:./{path}")


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

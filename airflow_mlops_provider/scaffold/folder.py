"""Where a new pipeline's folder goes, what is always in it, and how its files get there: all of them or none."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["LOADER", "Place", "place_of"]

LOADER = '''"""The DAGs of {name}.yaml, which lies beside this file."""

from airflow_mlops_provider.factory.build import build_dags

globals().update(build_dags(__file__))
'''
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Place:
    """`parent/name/` holds the pipeline; `parent` is the DAG bundle's root, where the file's paths begin."""

    parent: Path
    name: str

    @property
    def folder(self) -> Path:
        """The pipeline's own folder."""
        return self.parent / self.name

    @property
    def file(self) -> Path:
        """The pipeline file."""
        return self.folder / f"{self.name}.yaml"

    def command(self, verb: str) -> str:
        """Return the command line that works on the file from here."""
        here = self.parent.resolve() == Path.cwd()
        bundle = "" if here else f" --bundle {shlex.quote(str(self.parent))}"
        return f"airflow-mlops {verb} {shlex.quote(str(self.file))}{bundle}"

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Yield an empty folder whose files go to the place when all is well, each where no file is.

        Raises ConfigError that names what is there already, or why no file can be; then nothing is written.
        """
        self._refuse([f"{self.name}.yaml", f"{self.name}.py"])
        with tempfile.TemporaryDirectory() as temporary:
            part = Path(temporary)
            yield part
            files = sorted(path.relative_to(part) for path in part.rglob("*") if path.is_file())
            self._refuse([str(path) for path in files])
            self._move(part, files)

    def _move(self, part: Path, files: list[Path]) -> None:
        new: list[Path] = []
        try:
            for path in files:
                target = self.folder / path
                for folder in reversed([one for one in target.parents if not one.exists()]):
                    folder.mkdir()
                    new.append(folder)
                new.append(target)
                shutil.move(part / path, target)
        except OSError as exc:
            for one in reversed(new):
                if one.is_dir():
                    one.rmdir()
                elif os.path.lexists(one):
                    one.unlink()
            raise ConfigError(f"{self.folder} cannot be written: {exc}") from exc

    def _refuse(self, names: list[str]) -> None:
        there = [str(self.folder / name) for name in names if os.path.lexists(self.folder / name)]
        if there:
            more = f" and {len(there) - 5} more" if len(there) > 5 else ""
            raise ConfigError(f"there already: {', '.join(there[:5])}{more}; give another name, or remove them")


def place_of(name: str, into: Path | None) -> Place:
    """Return the place of a pipeline: in `into`, else in `dags/` where that is a folder here, else here.

    Raises ConfigError for a name that no pipeline can have.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no pipeline's name: small letters, digits and _, a letter first, at most 63 in all"
        )
    if into is not None and into.exists() and not into.is_dir():
        raise ConfigError(f"{into} is no folder")
    if into is not None and Path("dags").resolve() in into.resolve().parents:
        raise ConfigError(f"{into} lies below dags/, where paths begin: name dags itself, or leave --into out")
    return Place(into or (Path("dags") if Path("dags").is_dir() else Path()), name)

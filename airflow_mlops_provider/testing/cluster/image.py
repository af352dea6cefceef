"""What an image name stands for on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["Image", "image_of"]


@dataclass(frozen=True)
class Image:
    """Programs of this machine under an image's name.

    `path` folders come first on the container's PATH; `env`, `entrypoint`, `cmd` and `working_dir` are what a
    Dockerfile's ENV, ENTRYPOINT, CMD and WORKDIR say. `folders` of this machine stay seen under a volume that would
    hide them: an interpreter below /tmp, say, in a pod whose /tmp is its own.
    """

    path: Sequence[str] = ()
    folders: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ("sh",)
    working_dir: str = "/"

    @classmethod
    def of_python(cls, interpreter: str = sys.executable) -> Image:
        """Return an image with this interpreter's folder first on the PATH, and all that it imports from.

        Raises ConfigError if there is no such program, or it is no Python.
        """
        found = shutil.which(interpreter)
        if found is None:
            raise ConfigError(f"There is no program {interpreter!r} to serve as an image's Python.")
        return cls(path=(str(Path(found).absolute().parent),), cmd=("python",), folders=_imported_from(found))

    def environment(self) -> dict[str, str]:
        """Return the variables that a container of this image starts from."""
        system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": os.pathsep.join([*self.path, system]), "HOME": "/root", **self.env}


def _imported_from(interpreter: str) -> tuple[str, ...]:
    command = [interpreter, "-c", "import sys; print(*sys.path, sys.prefix, sys.base_prefix, sep='\\n')"]
    asked = subprocess.run(command, capture_output=True, text=True, cwd="/")  # noqa: S603 - who writes the test names it
    if asked.returncode != 0:
        raise ConfigError(f"{interpreter!r} is no Python: {asked.stderr.strip()}")
    return tuple(sorted({line for line in asked.stdout.splitlines() if line and Path(line).is_dir()}))


def image_of(given: str | Image) -> Image:
    """Return an image as it is; an interpreter's path is short for the image of that Python."""
    return Image.of_python(given) if isinstance(given, str) else given

"""Makes an environment from a compiled requirement file and keeps it under `.cache/envs` until that file changes.

`python -m tests.environments.make_env NAME` prints its interpreter.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".cache" / "envs"


def make_env(name: str) -> Path:
    """Return the interpreter of an environment that holds what `requirements/NAME.txt` names, made if need be."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    content = f"{sys.version}{sys.prefix}".encode() + requirements.read_bytes()
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return python
    # One of each name: what an older file made, or a broken-off try, would only fill the disk.
    for old in ENVIRONMENTS.glob(f"{name}-*"):
        shutil.rmtree(old)
    uv("venv", "--python", sys.executable, "--seed", folder)
    # No --compile-bytecode: of 40,000 files the tests import some thousands, which the first process compiles.
    uv("pip", "install", "--python", python, "-r", requirements)
    ready.touch()
    return python


def uv(*arguments: str | Path) -> str:
    """Run uv and return what it printed."""
    return run(Path(sys.executable).parent / "uv", "--quiet", *arguments)


def run(*command: str | Path) -> str:
    """Run a command and return what it printed; Airflow's and Python's settings of this process are not its."""
    # UV_PYTHON would send uv into another interpreter, whatever `--python` says.
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTHON", "UV_PYTHON"))}
    done = subprocess.run(command, env=surroundings, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    print(make_env(sys.argv[1]))

"""Asks an interpreter what it has of this package and its tools, and says why it cannot run a worker."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from airflow_mlops_provider import __version__
from airflow_mlops_provider.contracts.protocol import PROTOCOL
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.runners.child import environment, worker_command

__all__ = ["EXTRAS", "check", "describe", "why_no_worker"]

# The extras that a step may need, as pyproject.toml gives them (a test compares).
EXTRAS: dict[str, tuple[str, ...]] = {
    "lake": (
        "deltalake",
        "duckdb",
        "fsspec",
        "ibis-framework",
        "numpy",
        "pandas",
        "pyarrow",
        "pytz",
        "scipy",
        "sqlalchemy",
        "sqlglot",
        "tzdata",
    ),
    "mlflow": ("mlflow", "pandas", "scikit-learn"),
    "feast": ("feast", "duckdb", "sqlglot"),
    "dbt": ("dbt-core", "dbt-duckdb", "duckdb"),
    "evidently": ("evidently",),
    "s3": ("s3fs",),
}

_TIMEOUT_S = 60
_OLD, _ABSENT = 10, 11
# For any Python 3, so only what each of them has. The empty entry of the path is the current folder.
_PROBE = (
    "import sys\n"
    f"if sys.version_info < (3, 11): sys.exit({_OLD})\n"
    "import importlib.util as u\n"
    "sys.path[:] = [p for p in sys.path if p]\n"
    f"sys.exit(0 if u.find_spec('airflow_mlops_provider') and u.find_spec('pydantic') else {_ABSENT})\n"
)


def describe() -> dict[str, Any]:
    """Return what this interpreter has: versions of package, protocol, Python and tools (null: not installed).

    `missing` names, for each extra that is not whole, what is not installed. Nothing is imported.
    """
    tools = {name: _version(name) for names in EXTRAS.values() for name in names}
    missing = {extra: [n for n in names if tools[n] is None] for extra, names in EXTRAS.items()}
    return {
        "executable": sys.executable,
        "python": platform.python_version(),
        "package": __version__,
        "protocol": PROTOCOL,
        "pydantic": _version("pydantic"),
        "tools": tools,
        "missing": {extra: names for extra, names in missing.items() if names},
    }


def check(python: str) -> dict[str, Any]:
    """Return `describe()` of another interpreter, asked through the worker that a step would run in.

    Raises ConfigError, saying what to install, if it cannot run one.
    """
    if reason := why_no_worker(python):
        raise ConfigError(reason)
    asked = _ask(worker_command(python, "--check"))
    try:
        return json.loads(asked.stdout)  # type: ignore[no-any-return]  # what describe() gave there
    except ValueError as exc:
        raise ConfigError(
            f"{python} gave no description of itself: {asked.stderr[-500:] or asked.stdout[:200]!r}"
        ) from exc


def why_no_worker(python: str) -> str:
    """Return why `python` cannot run a worker, and the way out; empty if nothing speaks against it."""
    try:
        code = _ask([python, "-c", _PROBE]).returncode
    except OSError as exc:
        return f"{python} cannot be started: {exc.strerror}; give the path of a Python"
    except subprocess.TimeoutExpired:
        return f"{python} did not answer in {_TIMEOUT_S} s; give the path of a Python"
    if code == _OLD:
        return f"{python} is older than Python 3.11"
    if code == _ABSENT:
        return (
            f"airflow-mlops-provider is not installed for {python}: "
            f"{python} -m pip install 'airflow-mlops-provider=={__version__}' with the extras of its steps"
        )
    return "" if code == 0 else f"{python} is no Python that runs: it ended with exit code {code}"


def _ask(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # the interpreter was allowed by who asks
        command, env=environment(command[0]), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

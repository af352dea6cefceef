"""What a step needs of other packages, pinned as it is installed: the list that an image is made from."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, distribution

from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError
from airflow_mlops_provider.runners.check import why_no_worker
from airflow_mlops_provider.runners.child import environment

__all__ = ["pinned", "pinned_by"]

_OWN = "airflow-mlops-provider"
_TIMEOUT_S = 60


def pinned(step: str) -> list[str]:
    """Return `name==version` of all that a step's extras bring, as installed here; not this package itself.

    s3fs and its own are with them where s3fs is here: a pod's lake is seldom a folder. Raises ConfigError for a step
    that nobody knows, and where something is not installed.
    """
    from airflow_mlops_provider.steps.registry import step as find_step

    found: dict[str, str] = {}
    _add(_OWN, frozenset(find_step(step).extras) | _s3(), found, set())
    del found[_OWN]
    return [f"{name}=={found[name]}" for name in sorted(found)]


def pinned_by(python: str, step: str) -> list[str]:
    """Return `pinned` as another interpreter says it. Raises ConfigError where it cannot."""
    if reason := why_no_worker(python):
        raise ConfigError(reason)
    asked = subprocess.run(  # noqa: S603  # who asks has named it
        [python, "-P", "-m", "airflow_mlops_provider", "requirements", step],
        env=environment(python),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if asked.returncode:
        raise ConfigError(f"{python}: {asked.stderr.strip()[-500:]}")
    return asked.stdout.split()


def _s3() -> frozenset[str]:
    try:
        distribution("s3fs")
    except PackageNotFoundError:
        return frozenset()
    return frozenset({"s3"})


def _add(name: str, extras: frozenset[str], found: dict[str, str], seen: set[tuple[str, frozenset[str]]]) -> None:
    try:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name
    except ImportError:
        raise MissingExtraError("packaging", "lake") from None
    key = canonicalize_name(name)
    if (key, extras) in seen:
        return
    seen.add((key, extras))
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        raise ConfigError(f"{name} is not installed here, and the step needs it: pip install it first") from None
    found[key] = installed.version
    for text in installed.requires or ():
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            _add(needed.name, frozenset(needed.extras), found, seen)

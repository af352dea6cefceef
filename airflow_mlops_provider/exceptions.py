"""Errors of this package. The type says whether a retry can help.

MlopsError
├── InputError          what was given is wrong: never retried
│   ├── ConfigError     the YAML, airflow.cfg or a connection
│   ├── DataError       a table, a file or a user's function
│   └── MissingExtraError   an optional tool is not installed
├── TransientError      a fault that a retry may get past
│   └── LostError       the process that did the work is gone without an outcome
├── LostRaceError       somebody else committed first: never retried
└── BugError             a fault in the step's own code
"""

from __future__ import annotations

__all__ = [
    "BugError",
    "ConfigError",
    "DataError",
    "InputError",
    "LostError",
    "LostRaceError",
    "MissingExtraError",
    "MlopsError",
    "TransientError",
]


class MlopsError(Exception):
    """Base class of every error that this package raises on purpose."""


class InputError(MlopsError):
    """What was given is wrong; the message says what, where, and the way out."""


class ConfigError(InputError):
    """The YAML, `airflow.cfg` or a connection is wrong."""


class DataError(InputError):
    """A table, a file or the return value of a user's function is wrong."""


class MissingExtraError(InputError):
    """An optional tool is not installed in the environment that needs it."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module!r} is not installed here: pip install 'airflow-mlops-provider[{extra}]'")


class TransientError(MlopsError):
    """A fault that a retry may get past: a conflict, a lock, a network that is away."""


class LostError(TransientError):
    """The process that did the work ended without an outcome."""


class LostRaceError(MlopsError):
    """Another writer committed what this one wanted to commit; nothing was written."""


class BugError(MlopsError):
    """A step's own code failed in a way that it does not know."""

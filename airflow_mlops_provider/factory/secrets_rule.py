"""No secret in a pipeline file: what looks like one belongs into a connection of Airflow, which the file names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_mlops_provider.factory.errors import KeyPath

__all__ = ["is_secret_fault", "secret_faults"]

# The last word of a key, or its last two.
_WORDS = frozenset(
    (
        "apikey",
        "authorization",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "pwd",
        "secret",
        "token",
    )
)
_PASSWORDS = ("passphrase", "passwd", "password", "pwd")
_PAIRS = frozenset({("access", "key"), ("api", "key"), ("private", "key"), ("secret", "key"), ("account", "key")})
# Words of a text model's vocabulary, which trainers are told.
_VOCABULARY = frozenset((kind, "token") for kind in ("bos", "cls", "eos", "mask", "pad", "sep", "unk"))
# From `://` on: a pattern that begins with the scheme needs the square of a long text's length.
_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_ANSWER = "a pipeline file holds no secret: name a connection of Airflow that does"


def secret_faults(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Yield (path, message) for each text below `value` that looks like a secret; the message does not repeat it."""
    if isinstance(value, dict):
        for key, item in value.items():
            said = isinstance(item, str) and item and "{{" not in item
            # `password: 123456` is a number in YAML; a token's number may be a count of them.
            number = isinstance(item, int) and not isinstance(item, bool) and key.lower().endswith(_PASSWORDS)
            if (said or number) and _names_a_secret(key):
                yield (*path, key), f"{key!r} looks like a secret; {_ANSWER}"
            else:
                yield from secret_faults(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from secret_faults(item, (*path, i))
    elif isinstance(value, str) and _ADDRESS.search(value):
        yield path, f"an address with a password; {_ANSWER}"


def is_secret_fault(message: str) -> bool:
    """Return whether a message is of `secret_faults`: the line that it is about is not to be shown."""
    return message.endswith(_ANSWER)


def _names_a_secret(key: str) -> bool:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_").split("_")
    last = tuple(words[-2:])
    return last in _PAIRS or (words[-1] in _WORDS and last not in _VOCABULARY)

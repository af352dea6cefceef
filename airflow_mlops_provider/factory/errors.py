"""What is wrong with a pipeline file: every error with its line, all of a file's at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airflow_mlops_provider.exceptions import ConfigError

__all__ = ["FileError", "KeyPath", "PipelineFileError", "did_you_mean", "dotted", "nearest"]

KeyPath = tuple[str | int, ...]
# Known words that an error lists: more would hide what it says.
_SHOWN = 20
# No word is longer, and comparing texts takes the product of their lengths.
_LONGEST = 200


@dataclass(frozen=True, order=True, slots=True)
class FileError:
    """One error; `line` and `column` count from 1 (0: no file), `path` is the dotted key (empty: the file itself)."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}:"
        return f"{where} {self.path}: {self.message}" if self.path else f"{where} {self.message}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON."""
        return asdict(self)


class PipelineFileError(ConfigError):
    """A pipeline file is wrong; `errors` are in the order of the file, one line each in the text."""

    def __init__(self, errors: Iterable[FileError]) -> None:
        self.errors = sorted(set(errors))
        super().__init__("\n".join(map(str, self.errors)))


def dotted(path: KeyPath) -> str:
    """Return `data.ingest.flights.unique_key[0]` for a path of keys and positions."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `. Did you mean 'x'?` for the nearest known word, or what is known, or nothing."""
    if found := nearest(word, known):
        return found
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f". Known: {', '.join(known[:_SHOWN])}{more}" if known else ""


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return `. Did you mean 'x'?` for the nearest known word, or nothing; `cutoff` is difflib's."""
    import difflib  # an error is rare, and a DAG file loads this module each time

    if len(word) > _LONGEST:
        return ""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f". Did you mean {near[0]!r}?" if near else ""

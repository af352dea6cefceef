"""A pipeline file with what lies under it: the `defaults.yaml` of its folders, and what it `extends`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from posixpath import normpath
from typing import Any, NoReturn

from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError
from airflow_mlops_provider.factory.files import MAX_BYTES, Files
from airflow_mlops_provider.factory.load import MAX_VALUES, Document, Mark, decoded, laid_over

__all__ = ["DEFAULTS", "composed"]

# In a folder, the first of them that is there.
DEFAULTS = ("defaults.yaml", "defaults.yml")
_MAX_EXTENDED = 5
# What a file says of itself alone.
_OWN = ("pipeline", "extends")


def composed(
    raw: bytes, name: str, files: Files, *, place: str | None = None, shown: Callable[[str], str] = str
) -> Document:
    """Return a pipeline file's bytes, laid over what it extends, laid over the defaults of its folders.

    The bundle's root goes first, what is nearest to the file last; mappings merge, all else is replaced. A value's
    mark tells the file that it stands in. Errors call the file `name` and another one what `shown` makes of its path;
    `place` is its path below the bundle (default: `name`). Raises PipelineFileError where one of them is no plain
    YAML, where a path leads nowhere or round in a circle, and where they are too large together.
    """
    place = name if place is None else place
    if place.rpartition("/")[2] in DEFAULTS:
        text = "is laid under the pipelines of its folder and is none itself: lint and plan those"
        raise PipelineFileError([FileError(name, 1, 1, "", text)])
    document = decoded(raw, name)
    below = _Below(document, len(raw), files, shown)
    layers = [*_defaults(place, below), *_extended(place, below), document]
    return _laid(layers) if len(layers) > 1 else document


class _Below:
    """Reads what lies under a document, as long as all of it together is no larger than one file may be."""

    def __init__(self, top: Document, size: int, files: Files, shown: Callable[[str], str]) -> None:
        self.top = top
        self.files = files
        self.shown = shown
        self._size, self._values = size, len(top.marks)

    def read(self, path: str, raw: bytes) -> Document:
        """Return the document of a path's bytes. Raises PipelineFileError where there is too much by now."""
        self._size += len(raw)
        found = decoded(raw, self.shown(path)) if self._size <= MAX_BYTES else None
        self._values += len(found.marks) if found else 0
        if found is None or self._values > MAX_VALUES:
            text = f"with {path} under it more than {MAX_BYTES // 1024} KiB or {MAX_VALUES:,} values together"
            raise PipelineFileError([FileError(self.top.file, 1, 1, "", text)])
        return found


def _defaults(place: str, below: _Below) -> Iterator[Document]:
    """Yield the defaults of a file's folders, the bundle's root first."""
    folders = place.split("/")[:-1]
    for depth in range(len(folders) + 1):
        for name in DEFAULTS:
            path = "/".join([*folders[:depth], name])
            raw = below.files.document(path)
            if raw is None:
                continue
            if not below.files.inside(path):
                text = f"{path!r} leaves the bundle through a link"
                raise PipelineFileError([FileError(below.shown(path), 1, 1, "", text)])
            found = below.read(path, raw)
            if wrong := [key for key in _OWN if key in found.data]:
                text = f"{wrong[0]!r} is a pipeline file's own: it cannot stand in {name}, which lies under all of them"
                raise PipelineFileError([found.error((wrong[0],), text, at_key=True)])
            yield found
            break


def _extended(place: str, below: _Below) -> list[Document]:
    """Return what a file extends, and what that extends, the last one first."""
    document, found = below.top, list[Document]()
    chain = [normpath(place)]
    while (path := document.data.get("extends")) is not None:
        raw = _other(document, path, below.files)
        chain.append(normpath(path))
        if chain[-1] in chain[:-1]:
            _refuse(document, f"goes round in a circle: {' -> '.join(chain)}")
        if len(chain) - 1 > _MAX_EXTENDED:
            _refuse(document, f"a chain of more than {_MAX_EXTENDED} files: {' -> '.join(chain)}")
        document = below.read(chain[-1], raw)
        found.insert(0, document)
    return found


def _other(document: Document, path: Any, files: Files) -> bytes:
    """Return the bytes of an extended file; the path is a path like every other in a pipeline file."""
    if not isinstance(path, str) or not path:
        _refuse(document, "the path of one file is wanted, from the bundle's root")
    if path.startswith(("/", "~")) or "\\" in path or "\0" in path or "://" in path or ".." in path.split("/"):
        _refuse(document, f"{path!r} leaves the bundle: write a path from the bundle's root")
    if path.rpartition("/")[2] in DEFAULTS:
        _refuse(document, f"{path!r} lies under every pipeline of its folder by itself")
    if not files.inside(path):
        _refuse(document, f"{path!r} leaves the bundle through a link")
    raw = files.document(path)
    if raw is None:
        _refuse(document, f"no file {path!r} in the bundle{files.near(path)}")
    return raw


def _refuse(document: Document, message: str) -> NoReturn:
    raise PipelineFileError([document.error(("extends",), message)])


def _laid(layers: list[Document]) -> Document:
    """Return the last document laid over the others."""
    data: dict[str, Any] = {}
    marks: dict[KeyPath, Mark] = {}
    for layer in layers:
        own = () if layer is layers[-1] else _OWN
        data = laid_over(data, {key: value for key, value in layer.data.items() if key not in own}, marks)
        marks |= {path: mark for path, mark in layer.marks.items() if path[:1] not in [(key,) for key in own]}
    return Document(layers[-1].file, data, marks, any(layer.dollar for layer in layers))

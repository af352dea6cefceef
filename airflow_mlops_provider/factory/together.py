"""Pipelines that get into each other's way: one name twice, one model or one table in the hands of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from posixpath import normpath
from typing import Any

from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError
from airflow_mlops_provider.factory.load import Document
from airflow_mlops_provider.factory.matrix import variants

__all__ = ["matrix_errors", "twin_errors"]

# A section, and what a second pipeline's one would do to the same model.
_HANDS = {
    "training": ("trained", "would promote over the other's champion"),
    "scoring": ("scored", "would mix with the other's predictions"),
}
# All that a claim is made by, so that no more is put in.
_CLAIMING = ("pipeline", "model", "lake", "data", "parameters", "matrix")

# What is taken, its path, what is done to it, what a second one would do, the way out.
Claim = tuple[tuple[str, ...], KeyPath, str, str, str]
# The way out for two pipelines of one matrix.
_IN_MATRIX = {"table": "write a key of the matrix into `lake`, or into the table's name"}


def twin_errors(documents: Sequence[tuple[Document, Path]]) -> list[FileError]:
    """Return an error at each name that an earlier pipeline has taken, in any environment that both run in.

    Each document has its bundle's root, below which a lake without an address lies. Two pipelines may not have one
    name, nor bring in one table of a lake, nor both train or both score one model; one that trains and another that
    scores what it trained may. A file may be wrong otherwise: only these keys are looked at.
    """
    overlays = [document.data.get("environments") for document, _ in documents]
    environments = {name for overlay in overlays if isinstance(overlay, dict) for name in overlay}
    bases: list[list[Document]] = [_pipelines(document, None) for document, _ in documents]
    found: dict[tuple[str, KeyPath, str], FileError] = {}
    for environment in (None, *sorted(environments)):
        hands = _Hands()
        for (document, bundle), base, overlay in zip(documents, bases, overlays, strict=True):
            own = isinstance(overlay, dict) and environment in overlay
            for one in _pipelines(document, environment) if own else base:
                if error := hands.take(one, str(bundle)):
                    found.setdefault((document.file, *error[0]), error[1])
    return list(found.values())


def matrix_errors(pipelines: Sequence[Document]) -> list[FileError]:
    """Return the same for the pipelines of one file."""
    hands = _Hands()
    return [error[1] for one in pipelines if (error := hands.take(one, ""))]


class _Hands:
    """What is taken, and by whom, in one environment."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, ...], tuple[str, str, str]] = {}

    def take(self, one: Document, bundle: str) -> tuple[tuple[KeyPath, str], FileError] | None:
        """Take all that a pipeline claims; return the first that another one has: two of one name clash in all else."""
        name = str(one.data.get("pipeline"))
        for claim, path, done, harm, remedy in _claims(one.data, bundle):
            owner = (one.file, name, _place(one, path))
            first = self._taken.setdefault(claim, owner)
            if first[:2] == owner[:2]:
                continue
            if first[0] != one.file:
                text = f"{done} in {first[2]}, too: {harm}; {remedy}"
            elif claim[0] == "pipeline":
                return None  # said where the matrix is put in
            else:
                remedy = _IN_MATRIX.get(claim[0], "write a key of the matrix into it")
                text = f"{done} by {first[1]!r} of this matrix, too: {harm}; {remedy}"
            return (path, claim[0]), one.whole_error(path, text, at_key=path[-2:-1] == ("ingest",))
        return None


def _pipelines(document: Document, environment: str | None) -> list[Document]:
    merged = document.merged(environment)
    data = {key: value for key, value in merged.data.items() if key in _CLAIMING}
    data |= {section: {} for section in _HANDS if isinstance(merged.data.get(section), dict)}
    try:
        made = variants(Document(merged.file, data, merged.marks, merged.dollar))
        return [one.document for one in made if not one.open]
    except PipelineFileError:
        return []  # said elsewhere


def _claims(data: dict[str, Any], bundle: str) -> Iterator[Claim]:
    """Yield what a pipeline takes for itself."""
    pipeline = data.get("pipeline")
    if not isinstance(pipeline, str):
        return
    harm = "its DAGs would have the same names"
    yield ("pipeline", pipeline), ("pipeline",), f"pipeline {pipeline!r} is", harm, "give this one another name"
    said = data.get("model")
    model, place = (said, "model") if isinstance(said, str) else (pipeline, "pipeline")
    for section, (done, harm) in _HANDS.items():
        if isinstance(data.get(section), dict):
            remedy = "give it a `model:` of its own"
            yield (section, model), (place,), f"model {model!r} is {done}", f"this pipeline {harm}", remedy
    lake = data.get("lake")
    address = isinstance(lake, str) and ("://" in lake or lake.startswith("/"))
    # Not an address: normpath would take a slash from its scheme.
    said = normpath(lake) if isinstance(lake, str) and "://" not in lake else lake
    root = str(said).rstrip("/") if address else f"{bundle}\0{said}"
    for table, path in _tables(data.get("data")):
        harm = "what one brought in, the other would take for its own"
        remedy = "give this one a lake or a name of its own, or share the other's by `data: {from: ...}`"
        yield ("table", root, table), path, f"table {table!r} of this lake is written", harm, remedy


def _tables(section: Any) -> Iterator[tuple[str, KeyPath]]:
    """Yield the tables that a section `data` writes, each with its path."""
    ingest, transform = (section.get(key) for key in ("ingest", "transform")) if isinstance(section, dict) else (0, 0)
    publish = transform.get("publish") if isinstance(transform, dict) else None
    for name in ingest if isinstance(ingest, dict) else ():
        yield name, ("data", "ingest", name)
    for i, name in enumerate(publish if isinstance(publish, list) else ()):
        if isinstance(name, str):
            yield name, ("data", "transform", "publish", i)


def _place(document: Document, path: KeyPath) -> str:
    mark = document.marks[path]
    return f"{mark.file}:{mark.line}"

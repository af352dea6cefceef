"""Files that get into each other's way: one pipeline's name twice, one model in the hands of two pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_mlops_provider.factory.errors import FileError, KeyPath
from airflow_mlops_provider.factory.load import Document

__all__ = ["twin_errors"]

# A section, and what a second pipeline's one would do to the same model.
_HANDS = {
    "training": ("trained", "would promote over the other's champion"),
    "scoring": ("scored", "would mix with the other's predictions"),
}


def twin_errors(documents: Sequence[Document]) -> list[FileError]:
    """Return an error at each name that an earlier file has taken, in any environment that both run in.

    Two pipelines may not have one name, nor both train or both score one model; one that trains and another that
    scores what it trained may. A file may be wrong otherwise: only these keys are looked at.
    """
    overlays = [document.data.get("environments") for document in documents]
    environments = {name for overlay in overlays if isinstance(overlay, dict) for name in overlay}
    found: dict[tuple[str, KeyPath], FileError] = {}
    for environment in (None, *sorted(environments)):
        taken: dict[tuple[str, str], str] = {}
        for document in documents:
            merged = document.merged(environment)
            for kind, name, path, text in _claims(merged.data):
                first = taken.setdefault((kind, name), _place(merged, path))
                if first != _place(merged, path):
                    found.setdefault((document.file, path), merged.error(path, text.format(first)))
                    break  # two files of one name clash in all else, too
    return list(found.values())


def _claims(data: dict[str, Any]) -> Iterator[tuple[str, str, KeyPath, str]]:
    """Yield (kind, name, its path, what is wrong with a second one) for what a pipeline takes for itself."""
    pipeline = data.get("pipeline")
    if not isinstance(pipeline, str):
        return
    text = f"pipeline {pipeline!r} is in {{}}, too: its DAGs would have the same names; give this one another name"
    yield "pipeline", pipeline, ("pipeline",), text
    said = data.get("model")
    model, path = (said, ("model",)) if isinstance(said, str) else (pipeline, ("pipeline",))
    for section, (done, harm) in _HANDS.items():
        if isinstance(data.get(section), dict):
            text = f"model {model!r} is {done} in {{}}, too: this pipeline {harm}; give it a `model:` of its own"
            yield section, model, path, text


def _place(document: Document, path: KeyPath) -> str:
    mark = document.marks[path]
    return f"{document.file}:{mark.line}"

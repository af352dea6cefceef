"""A pipeline in Python: the words of a pipeline file as arguments, checked and planned as a file is.

from airflow_mlops_provider.factory.python import Pipeline

churn = Pipeline(pipeline="churn", data={"ingest": {...}}, training={...})
globals().update(churn.dags(__file__))
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import FileError, KeyPath, PipelineFileError, dotted
from airflow_mlops_provider.factory.files import Files
from airflow_mlops_provider.factory.load import MAX_DEPTH, MAX_VALUES, Document, Mark
from airflow_mlops_provider.factory.plan import planned_all
from airflow_mlops_provider.factory.plan_data import PipelinePlan

if TYPE_CHECKING:
    from airflow.sdk import DAG

__all__ = ["Pipeline"]


class Pipeline:
    """What a pipeline file says, as keyword arguments: dicts of the same words, or the models of `factory.models`.

    Nothing is checked here but that the values are plain; the rest is, as of a file, when it is planned. No folder's
    `defaults.yaml` lies under it, and it extends nothing: Python has functions and dicts for that.
    """

    def __init__(self, **words: Any) -> None:  # what a pipeline file may hold
        self._words = words

    def plans(
        self,
        name: str = "python",
        *,
        bundle: str | Path = ".",
        config: FactoryConfig | None = None,
        only: str | None = None,
    ) -> list[PipelinePlan]:
        """Return the plan of each pipeline that this makes: one, or as many as its `matrix` has combinations.

        Errors call it `name`; `bundle` is the folder that its paths and functions are relative to, `only` the
        pipeline that is wanted. Raises PipelineFileError with every error, each with its key.
        """
        return planned_all(
            self._document(name), Files(Path(bundle)), config or FactoryConfig.from_environment(), only=only
        )

    def dags(self, loader: str, *, bundle: str | Path | None = None) -> dict[str, DAG]:
        """Return its DAGs by id, in a task's process the task's own alone; `loader` is the DAG file, `__file__`.

        `bundle` is the folder that its paths and functions are relative to; default: the DAG bundle. Raises
        PipelineFileError with every error, each with its key.
        """
        # Here and not above: only DAGs need Airflow.
        from airflow_mlops_provider.factory.build import dags_of_plans, kept_here
        from airflow_mlops_provider.operators.bundle import bundle_of, folder_below

        path = Path(loader)
        files = Files(Path(bundle or bundle_of(path)))
        document = self._document(files.name(path))
        raw = json.dumps(document.data).encode()
        what = [document.file, str(document.data.get("pipeline"))]
        plans = kept_here(raw, what, files, lambda config, only: planned_all(document, files, config, only=only))
        return dags_of_plans(plans, loader, folder_below(bundle, path), lambda _: document)

    def _document(self, name: str) -> Document:
        marks: dict[KeyPath, Mark] = {}
        data = _plain(self._words, (), name, marks)
        if "extends" in data:
            text = "is a file's alone: in Python, hand the same dict to several pipelines"
            raise PipelineFileError([FileError(name, 0, 0, "extends", text)])
        return Document(name, data, marks)


def _plain(value: Any, path: KeyPath, name: str, marks: dict[KeyPath, Mark]) -> Any:
    """Return a value in the words of a pipeline file, and mark its place. Raises PipelineFileError for any other."""
    marks[path] = Mark(name, 0, 0, 0, 0)
    if len(path) > MAX_DEPTH or len(marks) > MAX_VALUES:
        text = f"more than {MAX_VALUES} values or {MAX_DEPTH} levels"
        raise PipelineFileError([FileError(name, 0, 0, dotted(path), text)])
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        value = {fields[key].alias or key: getattr(value, key) for key in fields if key in value.model_fields_set}
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {str(key): _plain(item, (*path, str(key)), name, marks) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, i), name, marks) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
        return value
    text = f"a plain value is wanted, such as a file may hold, not {type(value).__name__}"
    raise PipelineFileError([FileError(name, 0, 0, dotted(path), text)])


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    unit, size = next(
        ((unit, size) for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)) if seconds % size == 0), ("s", 1)
    )
    return f"{seconds / size:.6f}".rstrip("0").rstrip(".") + unit

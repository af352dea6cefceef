"""Classes that a plan names, as Airflow's processes import them, and what is then wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import airflow_mlops_provider.operators  # noqa: F401  # first: it checks Airflow's version

# isort: split
from airflow.sdk import BaseNotifier

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.errors import KeyPath, PipelineFileError

if TYPE_CHECKING:
    from airflow_mlops_provider.factory.load import Document

__all__ = ["BuildError", "Fault", "class_of", "imported", "lines_told", "notifier_class", "notifier_of", "refused"]

Fault = tuple[KeyPath, str]
_NOTIFY: KeyPath = ("notify",)


class BuildError(ConfigError):
    """What only Airflow could find wrong with a pipeline, by its keys in the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {message}" for path, message in self.faults))


@contextmanager
def lines_told(document: Callable[[str], Document], pipeline: str) -> Iterator[None]:
    """Turn a BuildError into a PipelineFileError with the file's lines and the same cause.

    `document` returns the document of a pipeline's name: it is read again, for a kept plan has no lines.
    """
    try:
        yield
    except BuildError as exc:
        found = document(pipeline)
        errors = [found.error(path, text, at_key=found.is_mapping(path)) for path, text in exc.faults]
        raise PipelineFileError(errors) from exc.__cause__


def class_of(dotted: str, folder: str = "") -> Any:  # whatever a module holds
    """Return what a checked dotted name stands for; `folder`, below the DAG bundle, is looked in first.

    Raises what the import of its module raises, AttributeError where that has no such name.
    """
    module, _, name = dotted.rpartition(".")
    below = f"{folder.replace('/', '.')}.{module}"
    if folder:
        try:
            return getattr(import_module(below), name)
        except ModuleNotFoundError as exc:
            # Not a module that the found one wants.
            if not f"{below}.".startswith(f"{exc.name}."):
                raise
    return getattr(import_module(module), name)


def imported(dotted: str, folder: str, path: KeyPath) -> Any:  # whatever a module holds
    """Return what `class_of` returns; what that raises is a BuildError at `path`."""
    try:
        return class_of(dotted, folder)
    except Exception as exc:  # a module of the user's may raise anything
        raise BuildError([(path, f"{dotted} cannot be imported: {type(exc).__name__}: {exc}")]) from exc


def refused(kind: type, path: KeyPath, exc: Exception) -> BuildError:
    """Return the error for arguments at `path` that a class's constructor does not take."""
    return BuildError([(path, f"{kind.__name__} refuses them: {type(exc).__name__}: {exc}")])


def notifier_class(dotted: str, folder: str = "") -> type[BaseNotifier]:
    """Return the notifier of a checked name; `folder` as in `class_of`. Raises BuildError where it is none."""
    path = (*_NOTIFY, "notifier")
    found = imported(dotted, folder, path)
    if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
        raise BuildError([(path, f"{dotted} is no notifier of Airflow")])
    return found


def notifier_of(dotted: str, arguments: dict[str, Any], folder: str = "") -> BaseNotifier:
    """Return a notifier with its arguments; the rest as `notifier_class`. Raises BuildError where it refuses them."""
    kind = notifier_class(dotted, folder)
    try:
        return kind(**arguments)
    except Exception as exc:
        raise refused(kind, (*_NOTIFY, "arguments"), exc) from exc

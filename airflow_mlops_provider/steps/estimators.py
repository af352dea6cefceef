"""Trainers by name: estimators with scikit-learn's interface, behind the encoding that they need."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.contracts.train import ESTIMATOR_LIBRARIES
from airflow_mlops_provider.exceptions import DataError, MissingExtraError

if TYPE_CHECKING:
    from airflow_mlops_provider.steps.training_data import TrainingData

__all__ = ["estimator"]

# Their trees take a null as it is, which tells more than a median in its place.
_TAKE_NULLS = ("xgboost", "lightgbm")


def estimator(dotted: str, seed: int) -> Callable[[TrainingData, dict[str, Any]], Any]:
    """Return a trainer around a named estimator: text columns one-hot encoded, nulls imputed where it needs that.

    `seed` is its `random_state` where it has one and the parameters do not say another. Raises DataError for a name
    that is none, MissingExtraError where its library is not installed.
    """
    kind = _named(dotted)

    def fit(data: TrainingData, parameters: dict[str, Any]) -> Any:
        from sklearn.compose import make_column_selector, make_column_transformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        seeded = {"random_state": seed} if _takes(kind, "random_state") else {}
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        numbers = "passthrough" if _library(dotted) in _TAKE_NULLS else imputer
        texts = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=100, sparse_output=False)
        columns = make_column_transformer(
            (numbers, make_column_selector(dtype_include="number")),
            (texts, make_column_selector(dtype_include=object)),
        )
        return make_pipeline(columns, kind(**{**seeded, **parameters})).fit(data.X, data.y)

    return fit


def _named(dotted: str) -> type[Any]:
    module, _, name = dotted.rpartition(".")
    library = _library(dotted)
    if not module or library not in ESTIMATOR_LIBRARIES:
        known = ", ".join(ESTIMATOR_LIBRARIES)
        raise DataError(f"estimator {dotted!r} is of none of {known}; give a python_callable for any other model")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as exc:
        if isinstance(exc, ModuleNotFoundError) and exc.name == library:
            raise MissingExtraError(library, "mlflow" if library == "sklearn" else library) from None
        raise DataError(f"estimator {dotted!r}: {exc}") from exc
    from sklearn.base import BaseEstimator

    # The libraries' modules hold functions too that start a process or fetch an address.
    if not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        raise DataError(f"{dotted!r} is no estimator with scikit-learn's interface")
    return kind


def _library(dotted: str) -> str:
    return dotted.partition(".")[0]


def _takes(kind: type[Any], parameter: str) -> bool:
    """Tell whether the class takes a parameter by name; one that takes any hands it on to its base."""
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        known = inspect.signature(base).parameters
        if parameter in known:
            return True
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
            return False
    return False

"""Models in MLflow: log one with all that its life needs, find it again, load it, predict with it."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from airflow_mlops_provider.contracts.base import Contract
from airflow_mlops_provider.contracts.profile import Profile
from airflow_mlops_provider.contracts.train import ESTIMATOR_LIBRARIES
from airflow_mlops_provider.exceptions import DataError, MissingExtraError
from airflow_mlops_provider.steps.context import StepContext
from airflow_mlops_provider.steps.networks import forward, is_module
from airflow_mlops_provider.steps.pickled import with_code
from airflow_mlops_provider.steps.sql import filter_value

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

__all__ = [
    "PROFILE_FILE",
    "connect",
    "find_result",
    "load",
    "load_profile",
    "log",
    "predict",
    "store_profile",
    "store_result",
    "version_uri",
]

PROFILE_FILE = "reference_profile.json"
_RESULT_FILE = "result.json"
_RUN_KEY = "mlops.run_key"
_RESULT_TAG = "mlops.result"
_BY_ID = "models:/"
# MLflow's types that are narrower than the float64 of `frame`.
_SIGNED = {"long": "int64", "integer": "int32", "boolean": "bool", "float": "float32"}


def connect(context: StepContext) -> MlflowClient:
    """Return a client of the tracking server that connection `mlflow_default` names."""
    try:
        import mlflow
    except ImportError:
        raise MissingExtraError("mlflow", "mlflow") from None
    fields = context.connection("mlflow_default")
    if fields.get("login"):
        # MLflow's client takes credentials from the environment only.
        os.environ["MLFLOW_TRACKING_USERNAME"] = str(fields["login"])
        os.environ["MLFLOW_TRACKING_PASSWORD"] = str(fields.get("password") or "")
    mlflow.set_tracking_uri(context.tracking_uri)
    return mlflow.MlflowClient()


def experiment(context: StepContext, client: MlflowClient, name: str) -> str:
    """Return an experiment's id, making it where it is not there.

    `artifact_root` in the connection's extra says where its files go; without it the server decides (a plain
    SQLite address has no server: its files would go below the working directory).
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    root = (context.connection("mlflow_default").get("extra") or {}).get("artifact_root")
    return str(client.create_experiment(name, artifact_location=f"{str(root).rstrip('/')}/{name}" if root else None))


def find_result(client: MlflowClient, experiment: str, run_key: str) -> dict[str, Any] | None:
    """Return the result that an earlier try of the same work stored, or None: a retry does not fit again."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    done = f"tags.`{_RESULT_TAG}` = '{_RESULT_FILE}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(
        [found.experiment_id], f"tags.`{_RUN_KEY}` = {filter_value(run_key)} and {done}", max_results=1
    )
    if not runs:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(runs[0].info.run_id, _RESULT_FILE, folder)
        return json.loads(Path(path).read_text())  # type: ignore[no-any-return]  # our own file


def store_result(client: MlflowClient, run_id: str, result: Contract) -> None:
    """Store what the finished run of a run key gave, for `find_result`."""
    client.log_text(run_id, result.model_dump_json(indent=1), _RESULT_FILE)
    client.set_tag(run_id, _RESULT_TAG, _RESULT_FILE)


def log(
    model: Any,  # anything with predict, or a PyTorch module
    example: pd.DataFrame,
    *,
    client: MlflowClient,
    profile: Profile,
    metadata: Mapping[str, Any],
    requirements: tuple[str, ...],
    bundle: str = ".",
) -> str:
    """Log `model` in the active run with signature, requirements and reference profile; return its `models:/` URI.

    Requirements are given, not inferred: inference is 97 % of `log_model`. An MLflow pyfunc is logged as it
    is, a scikit-learn estimator or a PyTorch module through its flavour, anything else wrapped as a pyfunc. Classes of
    the bundle go with it.
    """
    from mlflow.models import infer_signature

    output = predict(model, example)
    signature = infer_signature(example, output)
    pinned = [*requirements] or installed("scikit-learn", "pandas", "numpy", "cloudpickle", *_libraries(model))
    common = {"name": "model", "signature": signature, "pip_requirements": pinned, "metadata": dict(metadata)}
    with with_code(bundle):
        model_id = _logged(model, common)
    with _written(profile) as path:
        client.log_model_artifact(model_id, path)
    return f"models:/{model_id}"


def _logged(model: Any, common: Mapping[str, Any]) -> str:
    import mlflow

    if isinstance(model, mlflow.pyfunc.PythonModel):
        info = mlflow.pyfunc.log_model(python_model=model, **common)
    elif _is_sklearn(model):
        function = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        info = mlflow.sklearn.log_model(model, serialization_format="cloudpickle", pyfunc_predict_fn=function, **common)
    elif is_module(model):
        # An older MLflow knows this format alone and no name for it.
        named = "serialization_format" in inspect.signature(mlflow.pytorch.log_model).parameters
        info = mlflow.pytorch.log_model(model, **({"serialization_format": "pickle"} if named else {}), **common)
    else:
        info = mlflow.pyfunc.log_model(python_model=_wrapped(model), **common)
    return str(info.model_id)


def store_profile(client: MlflowClient, model: str, version_number: str, profile: Profile) -> None:
    """Store a profile beside a registered version's model, in place of one that is there.

    Raises DataError where the version's files belong to no model and no run of this tracking server.
    """
    found = client.get_model_version(model, version_number)
    source = str(found.source)
    with _written(profile) as path:
        if _has_id(source):
            client.log_model_artifact(source.removeprefix(_BY_ID), path)
        elif found.run_id and f"{found.run_id}/artifacts/" in source:
            client.log_artifact(found.run_id, path, source.partition(f"{found.run_id}/artifacts/")[2])
        else:
            raise DataError(f"{model} version {version_number} comes from {source}: no run here can keep its profile")


@contextmanager
def _written(profile: Profile) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PROFILE_FILE
        path.write_text(profile.model_dump_json())
        yield str(path)


def load(uri: str) -> Any:
    """Return the model behind a `models:/` URI as a pyfunc."""
    import mlflow

    return mlflow.pyfunc.load_model(uri)


def load_profile(client: MlflowClient, uri: str) -> Profile | None:
    """Return the reference profile stored with a model, or None where it has none."""
    import mlflow

    if PROFILE_FILE not in {found.path for found in mlflow.artifacts.list_artifacts(uri)}:
        return None
    root = client.get_logged_model(uri.removeprefix(_BY_ID)).artifact_location if _has_id(uri) else uri
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(f"{root}/{PROFILE_FILE}", dst_path=folder)
        return Profile.model_validate_json(Path(path).read_bytes())


def predict(model: Any, features: pd.DataFrame) -> np.ndarray:
    """Return one float64 a row: the positive class's probability, or the predicted value; shape (n,).

    Raises DataError for more than two classes.
    """
    found = forward(model, features) if is_module(model) else _predicted(model, features)
    if found.ndim == 2 and found.shape[1] == 2:
        found = found[:, 1]
    elif found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape != (len(features),):
        raise DataError(f"the model's prediction has shape {found.shape}; two classes or one value a row are scored")
    return found.astype(np.float64)


def _predicted(model: Any, features: pd.DataFrame) -> np.ndarray:
    function = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    # MLflow's own form of a model may take its context first; none is there before the model is logged.
    first = (None,) if hasattr(model, "load_context") and "context" in inspect.signature(function).parameters else ()
    return np.asarray(function(*first, _as_signed(model, features)))


def _as_signed(model: Any, features: pd.DataFrame) -> pd.DataFrame:
    """Return features in the types of the model's signature where no value is lost by it.

    A model that was logged elsewhere may take integers, which MLflow refuses to make of floats by itself.
    """
    signature = getattr(getattr(model, "metadata", None), "get_input_schema", None)
    schema = signature() if signature else None
    if schema is None or schema.is_tensor_spec():
        return features
    kinds = {column.name: _SIGNED.get(getattr(column.type, "name", "")) for column in schema.inputs}
    exact = {name: kind for name, kind in kinds.items() if kind and _is_exact(features, name, kind)}
    return features.astype(exact) if exact else features


def _is_exact(features: pd.DataFrame, name: str, kind: str) -> bool:
    if name not in features or features[name].dtype != np.float64:
        return False
    if kind != "float32" and not np.isfinite(features[name]).all():
        return False
    return kind == "float32" or bool((features[name].astype(kind) == features[name]).all())


def version_uri(client: MlflowClient, model: str, version_number: str) -> str:
    """Return the URI of a registered version's own model, which does not move."""
    source = client.get_model_version(model, version_number).source
    return str(source) if str(source).startswith("models:/") else f"models:/{model}/{version_number}"


def _has_id(uri: str) -> bool:
    """Tell a logged model's own URI, `models:/m-<id>`, from one by registered name."""
    return uri.startswith(f"{_BY_ID}m-") and "/" not in uri.removeprefix(_BY_ID)


def installed(*names: str) -> list[str]:
    """Return `name==version` for the packages that are installed here.

    Without what follows a `+`, which says how PyTorch was built: no index serves that one.
    """
    found = []
    for name in names:
        try:
            found.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue
    return found


def _libraries(model: Any) -> list[str]:
    """Return the distributions beside scikit-learn's that a model, or a step of its pipeline, comes from."""
    from sklearn.pipeline import Pipeline

    if is_module(model):
        return ["torch"]
    parts = [model, *(part for _, part in model.steps)] if isinstance(model, Pipeline) else [model]
    packages = {type(part).__module__.partition(".")[0] for part in parts}
    # The second name is the same package without its parts for a GPU.
    return [name for package in ESTIMATOR_LIBRARIES if package in packages for name in (package, f"{package}-cpu")]


def _is_sklearn(model: Any) -> bool:
    from sklearn.base import BaseEstimator

    return isinstance(model, BaseEstimator)


def _wrapped(model: Any) -> Any:
    import mlflow
    import pandas as pd

    def predict(self: Any, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG001  # MLflow's form
        function = model.predict_proba if hasattr(model, "predict_proba") else model.predict
        return function(model_input)

    # A hint as an object: MLflow warns of none, and of text that it cannot resolve in this module.
    predict.__annotations__ = {"model_input": pd.DataFrame}
    return type("Wrapped", (mlflow.pyfunc.PythonModel,), {"predict": predict})()

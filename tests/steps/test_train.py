"""Trainers: a user's function with any model, a scikit-learn estimator by name, and what is wrong with either."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import DataError, MissingExtraError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps import train as step
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.estimators import estimator as named
from airflow_mlops_provider.steps.rows import StoredData
from airflow_mlops_provider.steps.training_data import TrainingData
from tests.steps.flow import DATASET, ZONE, add_month, batch, rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

TRAINERS = """
import mlflow
import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

class Logit:
    def __init__(self, slope):
        self.slope = slope

    def predict_proba(self, x):
        late = 1 / (1 + np.exp(1 - self.slope * x["size"].to_numpy()))
        return np.column_stack([1 - late, late])

    def predict(self, x):
        return self.predict_proba(x)[:, 1] > 0.5

class Flat(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return np.full(len(model_input), 0.25)

class Three:
    def predict(self, x):
        return np.full((len(x), 3), 1 / 3)

def any_object(data, params):
    assert list(data.X) == ["size", "colour"] and len(data.valid.X) == 400
    assert data.arrow().num_rows == sum(part.num_rows for part in data.batches(rows=500)) == len(data.y)
    return Logit(**params)

def pyfunc(data, params):
    return Flat()

def seeded(data, params, context):
    return DecisionTreeClassifier(max_depth=1, random_state=context.seed).fit(data.X[["size"]], data.y)

def three_classes(data, params):
    return Three()

def fails_after_its_checkpoint(data, params, context):
    kept = context.checkpoint.restore()
    if kept is None:
        context.checkpoint.save(b"half", step=1)
        raise ValueError("out of memory on the device")
    assert kept == b"half"
    return Logit(slope=1.0)

def tells(data, params, context):
    for epoch in (1, 2, 3):
        context.progress(epoch, 3, loss=1 / epoch)
    context.log_metric("size", np.float32(0.5))
    return Logit(slope=1.0)

def by_batches(data, params):
    seen = [batch["size"].to_numpy() for batch in data.batches(500)]
    assert sum(map(len, seen)) == len(data) == 1960
    return Logit(float(np.concatenate(seen).std()))

def nothing(data, params):
    return {"slope": 1.0}

def fails(data, params):
    raise ValueError("out of memory on the device")
"""

ELSEWHERE = """
import sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
print(mlflow.pyfunc.load_model(sys.argv[2]).predict(pandas.DataFrame({"size": [0.5], "colour": ["red"]}))[0, 1])
"""


@pytest.fixture
def trainer(world, tmp_path, request):
    """Train by a function of `TRAINERS`, which lies in the bundle."""
    name = f"trainers_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(TRAINERS)

    def train(function: str, **more):
        return world.train("a", estimator=None, python_callable=f"{name}.{function}", bundle=str(tmp_path), **more)

    return train


def predicted(trained) -> np.ndarray:
    return models.predict(models.load(trained.model_uri), rows(3).select(["size", "colour"]).to_pandas())


def test_a_users_function_may_return_any_object_that_predicts(world, trainer):
    trained = trainer("any_object", parameters={"slope": 2.0})
    size = rows(3)["size"].to_numpy()
    np.testing.assert_allclose(predicted(trained), 1 / (1 + np.exp(1 - 2 * size)))
    run = models.connect(world.context).get_run(trained.run_id)
    assert run.data.params["slope"] == "2.0"
    assert len(run.data.tags["mlops.code"]) == 16


def test_a_model_of_the_bundles_own_class_is_loaded_where_the_bundle_is_not(world, trainer, tmp_path):
    trained = trainer("any_object", parameters={"slope": 2.0})
    (file,) = tmp_path.glob("trainers_*.py")
    file.unlink()
    asked = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, world.context.tracking_uri, trained.model_uri],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(asked.stdout) == pytest.approx(1 / (1 + np.exp(1 - 2 * 0.5)))


def test_what_is_read_in_batches_is_never_there_as_a_whole(trainer, monkeypatch):
    def asked_for(data):
        raise AssertionError("all of X")

    monkeypatch.setattr(StoredData, "X", property(asked_for))
    assert predicted(trainer("by_batches")).std() > 0


def test_what_cannot_predict_is_refused(trainer):
    with pytest.raises(DataError, match="the trainer returned a dict, which has no predict and is no PyTorch module"):
        trainer("nothing")


def test_a_users_function_may_return_an_mlflow_model(trainer):
    assert set(predicted(trainer("pyfunc"))) == {0.25}


def test_a_parameter_named_context_brings_the_seed(trainer):
    dataset = DATASET.model_copy(update={"columns": ("size",)})
    trained = trainer("seeded", seed=7, dataset=dataset)
    assert models.load(trained.model_uri).get_raw_model().random_state == 7


def test_a_retry_finds_the_run_whatever_its_key_is_called(world):
    assert world.train("it's/this") == world.train("it's/this")


def test_what_cannot_be_scored_is_refused_before_it_is_logged(trainer):
    with pytest.raises(DataError, match=r"prediction has shape \(\d+, 3\); two classes or one value a row are scored"):
        trainer("three_classes")


def test_what_a_trainer_raises_comes_through(trainer):
    with pytest.raises(ValueError, match="out of memory on the device"):
        trainer("fails")


def test_the_next_try_goes_on_in_the_run_of_the_one_that_failed(world, trainer):
    client = models.connect(world.context)
    with pytest.raises(ValueError, match="out of memory"):
        trainer("fails_after_its_checkpoint")
    add_month(world.lake, 3)
    trained = trainer("fails_after_its_checkpoint")
    (run,) = client.search_runs([trained.experiment_id])
    assert (run.info.run_id, run.info.status) == (trained.run_id, "FINISHED")
    # March came between the tries.
    assert (trained.until, trained.versions) == ("2013-02-01", {"labels": 2})


def test_with_other_parameters_it_is_other_work(world, trainer):
    said = []
    world.context = dataclasses.replace(world.context, emit=said.append)
    for seed in (0, 1):
        with pytest.raises(ValueError, match="out of memory"):
            trainer("fails_after_its_checkpoint", seed=seed)
    assert len([m for m in said if "made from other data or parameters" in m.text and m.level == "warning"]) == 1
    trainer("fails_after_its_checkpoint", seed=1)


def test_a_trainer_that_was_edited_since_is_said(world, trainer, tmp_path):
    said = []
    world.context = dataclasses.replace(world.context, emit=said.append)
    with pytest.raises(ValueError, match="out of memory"):
        trainer("fails_after_its_checkpoint")
    (file,) = tmp_path.glob("trainers_*.py")
    file.write_text(f"{TRAINERS}\n# repaired")
    trainer("fails_after_its_checkpoint")
    assert [m.text for m in said if m.level == "warning"] == ["the trainer's file is another than in that try"]


def test_progress_is_told_and_recorded(world, trainer):
    said = []
    world.context = dataclasses.replace(world.context, emit=said.append)
    trained = trainer("tells")
    told = [(m.text, m.progress) for m in said if m.text.startswith("epoch")]
    assert told[0] == ("epoch 1/3, loss 1", 1 / 3)
    assert told[1:] == [("epoch 2/3, loss 0.5, 0:00:00 left", 2 / 3), ("epoch 3/3, loss 0.3333, 0:00:00 left", 1.0)]
    client = models.connect(world.context)
    assert [(p.step, p.value) for p in client.get_metric_history(trained.run_id, "loss")] == [
        (1, 1),
        (2, 0.5),
        (3, 1 / 3),
    ]
    assert client.get_run(trained.run_id).data.metrics["size"] == 0.5


def test_every_generator_gets_the_seed(monkeypatch):
    seen = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(manual_seed=seen.append))
    drawn = []
    for _ in range(2):
        step._seed(5)
        drawn.append((random.random(), np.random.random()))
    assert drawn[0] == drawn[1]
    assert seen == [5, 5]


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        ("os.system", "estimator 'os.system' is of none of sklearn, xgboost, lightgbm; give a python_callable"),
        ("sklearn.linear_model.Nobody", "estimator 'sklearn.linear_model.Nobody': .*no attribute"),
        ("sklearn", "estimator 'sklearn' is of none of"),
        ("xgboost.train", "'xgboost.train' is no estimator"),
        ("xgboost.DMatrix", "'xgboost.DMatrix' is no estimator"),
        ("sklearn.nowhere.Nobody", "estimator 'sklearn.nowhere.Nobody': No module named"),
        (
            "sklearn.datasets.fetch_openml",
            "'sklearn.datasets.fetch_openml' is no estimator with scikit-learn's interface",
        ),
    ],
)
def test_an_estimator_has_scikit_learns_interface(world, estimator, says):
    with pytest.raises(DataError, match=says):
        world.train("a", estimator=estimator)


@pytest.mark.parametrize("estimator", ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier"])
def test_boosting_libraries_by_name(world, estimator):
    # LightGBM draws rows only every so many trees, columns for each.
    parameters = {"n_estimators": 20, "max_depth": 3, "subsample": 0.5, "colsample_bytree": 0.5}
    first, second, other = (
        world.train(key, estimator=estimator, seed=seed, parameters=parameters)
        for key, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    np.testing.assert_array_equal(predicted(first), predicted(second))
    assert (predicted(first) != predicted(other)).any()
    model = models.load(first.model_uri).get_raw_model()
    assert model.steps[-1][1].random_state == 1
    run = models.connect(world.context).get_run(first.run_id)
    assert run.data.metrics["holdout_roc_auc"] > 0.7
    needed = Path(mlflow.pyfunc.get_model_dependencies(first.model_uri)).read_text().split()
    assert f"{estimator.partition('.')[0]}=={version(estimator.partition('.')[0])}" in needed


@pytest.mark.parametrize("estimator", ["xgboost.XGBRegressor", "lightgbm.LGBMRegressor"])
def test_boosting_libraries_take_nulls_and_texts_that_are_new(estimator):
    x = pd.DataFrame({"size": [1.0, np.nan, 3.0, np.nan] * 25, "colour": ["red", "green", None, "green"] * 25})
    y = pd.Series([0.0, 1.0, 0.0, 1.0] * 25, name="y")
    fitted = named(estimator, 0)(TrainingData(x, y), {"n_estimators": 5})
    given = pd.DataFrame({"size": [np.nan, 1.0], "colour": ["blue", None]})
    null, low = models.predict(fitted, given)
    assert null > low


def test_parameters_may_say_another_random_state():
    x, y = pd.DataFrame({"size": np.arange(40.0)}), pd.Series(np.arange(40) % 2 == 0)
    fitted = named("xgboost.XGBClassifier", 3)(TrainingData(x, y), {"n_estimators": 1, "random_state": 8})
    assert fitted.steps[-1][1].random_state == 8


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match=r"'lightgbm' is not installed here: pip install .*\[lightgbm\]"):
        named("lightgbm.LGBMClassifier", 0)


def test_a_holdout_that_takes_all_rows_is_named(world):
    with pytest.raises(DataError, match=r"no row to fit on: the first is of 2013-01-01 .*, the holdout begins at"):
        world.train("a", holdout=timedelta(days=300))


def test_a_feature_service_needs_event_times(world):
    dataset = DATASET.model_copy(update={"feature_service": "s", "event_timestamp": None})
    with pytest.raises(DataError, match="feature_service 's' needs event_timestamp"):
        world.train("a", dataset=dataset, holdout=None)


def test_a_batch_that_came_late_is_trained_on(world):
    add_month(world.lake, 4)
    add_month(world.lake, 3)
    trained = world.train("a")
    assert trained.until == "2013-04-01"
    assert trained.rows + trained.holdout_rows == 40 * (31 + 28 + 31 + 30)
    assert trained.versions == {"labels": 4}


def test_a_refused_batch_is_not_trained_on(world):
    refused = Batch(**batch(3).model_dump())
    world.lake.write_once("labels", rows(3), app="labels/3")
    BatchLedger(world.lake, "labels").refuse(refused, rows=1, run_key="test")
    trained = world.train("a", timezone=ZONE.key)
    assert (trained.until, trained.rows + trained.holdout_rows) == ("2013-02-01", 40 * (31 + 28))

"""Trainers: a user's function with any model, a scikit-learn estimator by name, and what is wrong with either."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.batches import BatchLedger
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

def fails(data, params):
    raise ValueError("out of memory on the device")
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


def test_a_users_function_may_return_an_mlflow_model(trainer):
    assert set(predicted(trainer("pyfunc"))) == {0.25}


def test_a_parameter_named_context_brings_the_seed(trainer):
    dataset = DATASET.model_copy(update={"columns": ("size",)})
    trained = trainer("seeded", seed=7, dataset=dataset)
    assert models.load(trained.model_uri).get_raw_model().random_state == 7


def test_what_cannot_be_scored_is_refused_before_it_is_logged(trainer):
    with pytest.raises(DataError, match=r"prediction has shape \(\d+, 3\); two classes or one value a row are scored"):
        trainer("three_classes")


def test_what_a_trainer_raises_comes_through(trainer):
    with pytest.raises(ValueError, match="out of memory on the device"):
        trainer("fails")


@pytest.mark.parametrize(
    ("estimator", "says"),
    [
        ("os.system", "estimator 'os.system' is not scikit-learn's; give a python_callable"),
        ("sklearn.linear_model.Nobody", "estimator 'sklearn.linear_model.Nobody': .*no attribute"),
        ("sklearn.nowhere.Nobody", "estimator 'sklearn.nowhere.Nobody': No module named"),
        ("sklearn.datasets.fetch_openml", "'sklearn.datasets.fetch_openml' is no scikit-learn estimator"),
    ],
)
def test_an_estimator_is_scikit_learns(world, estimator, says):
    with pytest.raises(DataError, match=says):
        world.train("a", estimator=estimator)


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

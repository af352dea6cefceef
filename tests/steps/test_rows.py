"""Labelled rows as a trainer gets them: the same whether it takes them as pandas, as Arrow or in batches."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops_provider.steps.rows import TrainingData
from airflow_mlops_provider.steps.training_data import LabelledSet
from tests.steps.flow import DATASET, add_month

ROWS = 31 * 40


@pytest.fixture
def stored(lake):
    add_month(lake, 1)
    labelled = LabelledSet(lake, DATASET)
    return labelled.data(labelled.select("some"))


@pytest.fixture(params=["stored", "in_memory"])
def data(request, stored):
    return stored if request.param == "stored" else TrainingData(stored.X, stored.y)


def sizes(batches):
    return [batch["size"].to_pylist() for batch in batches]


def test_batches_are_the_rows_in_their_order(data):
    batches = list(data.batches(500))
    assert [len(batch) for batch in batches] == [500, 500, 240]
    whole = pa.Table.from_batches(batches)
    assert whole.equals(data.arrow())
    assert whole.column_names == ["size", "colour", "late"]
    pd.testing.assert_frame_equal(whole.to_pandas()[["size"]], data.X[["size"]])
    assert whole["late"].to_pylist() == data.y.to_list()
    assert len(data) == ROWS


def test_a_seed_draws_an_order_and_another_one_another(data):
    orders = [list(chain(*sizes(data.batches(100, seed=seed)))) for seed in (None, 1, 1, 2, (1, 2))]
    assert orders[1] == orders[2]
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_rows_that_were_drawn_together_are_not_drawn_together_again(data):
    first, second = ([set(part) for part in sizes(data.batches(100, seed=seed))] for seed in (1, 2))
    # A batch's 100 of 1,240 rows: of each other draw's batch some 8 of them by chance.
    assert max(len(a & b) for a in first for b in second) < 30


def test_each_order_keeps_a_rows_features_and_target_together(data):
    known = dict(zip(data.X["size"], data.y, strict=True))
    for batch in data.batches(300, seed=3):
        found = batch.to_pandas()
        assert found["late"].to_list() == [known[size] for size in found["size"]]


def test_several_are_read_at_once(stored):
    pairs = list(zip(stored.batches(300), stored.batches(300), strict=True))
    assert [len(a) for a, _ in pairs] == [300, 300, 300, 300, 40]
    assert all(a.equals(b) for a, b in pairs)


def test_a_batch_without_a_text_has_the_schema_of_the_others():
    texts = [None] * 10 + ["red"] * 10
    data = TrainingData(pd.DataFrame({"colour": pd.Series(texts, dtype=object)}), pd.Series(np.ones(20), name="y"))
    assert {str(batch.schema) for batch in data.batches(10)} == {"colour: string\ny: double"}


def test_events_at_one_moment_have_one_order_for_all_readings(lake):
    table = pa.table({"x": np.arange(50_000.0), "late": np.arange(50_000) % 2 == 0})
    lake.write_once("tied", table, app="tied")
    dataset = DATASET.model_copy(
        update={"entities": "tied", "event_timestamp": None, "unique_key": (), "columns": ("x",)}
    )
    labelled = LabelledSet(lake, dataset)
    data = labelled.data(labelled.select("some"))
    np.testing.assert_array_equal(data.X["x"].to_numpy() % 2 == 0, data.y.to_numpy())


def test_a_moment_reads_the_same_in_pandas_and_in_batches(lake, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    add_month(lake, 1)
    dataset = DATASET.model_copy(update={"event_timestamp": None, "unique_key": ("id",), "columns": ("at",)})
    labelled = LabelledSet(lake, dataset)
    data = labelled.data(labelled.select("some"))
    first = next(data.batches(1))["at"][0].as_py()
    assert first == data.X["at"][0] == data.arrow()["at"][0].as_py()
    assert first.startswith("2013-01-01 05:00:00")

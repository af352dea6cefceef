"""A share of the rows is held out by a hash of their key, and a model's whole life goes on without any time."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_mlops_provider.contracts.decide import Condition, DecideSpec, RetrainPolicy
from airflow_mlops_provider.contracts.evaluate import Gate
from airflow_mlops_provider.contracts.search import Search
from airflow_mlops_provider.contracts.train import HeldOut, TrainingDataset, TrainSpec
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.batches import BatchLedger
from airflow_mlops_provider.steps.decide import decide
from airflow_mlops_provider.steps.holdout import hashed
from airflow_mlops_provider.steps.lake import Lake
from airflow_mlops_provider.steps.promotions import PromotionLedger
from airflow_mlops_provider.steps.training_data import LabelledSet
from tests.steps.flow import batch

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)  # MLflow's and Optuna's

ROWS = TrainingDataset(entities="rows", target="price", unique_key=("id",))
RIDGE, DUMMY = "sklearn.linear_model.Ridge", "sklearn.dummy.DummyRegressor"


def add_rows(lake: Lake, month: int, *, slope: float = 3.0, count: int = 400) -> pa.Table:
    """Publish rows without any time: `price` depends on `size`."""
    draw = np.random.default_rng(month)
    size = draw.normal(size=count)
    table = pa.table(
        {
            "id": [f"{month}-{i}" for i in range(count)],
            "size": size,
            "colour": draw.choice(["red", "green"], count),
            "price": slope * size + draw.normal(size=count),
            "_batch": [batch(month).id] * count,
        }
    )
    version, _ = lake.write_once("rows", table, app=f"rows/{month}")
    BatchLedger(lake, "rows").accept(batch(month), version=version, rows=count, run_key="test")
    return table


def held_out(lake: Lake, share: float, dataset: TrainingDataset = ROWS) -> set[str]:
    rows = LabelledSet(lake, dataset)
    view = rows.select("held", share=(0.0, share))
    return {id_ for (id_,) in rows.con.sql(f"select id from {view}").fetchall()}


@pytest.fixture
def lake(tmp_path):
    found = Lake(str(tmp_path / "lake"))
    add_rows(found, 1)
    return found


@given(st.integers(0, 5), st.floats(0.05, 0.5))
@settings(max_examples=15, deadline=None)
def test_as_many_rows_as_asked_for_but_for_chance(tmp_path_factory, seed, share):
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    add_rows(lake, 1 + seed, count=2000)
    # Five standard errors of a binomial share.
    assert abs(len(held_out(lake, share)) / 2000 - share) < 5 * (share * (1 - share) / 2000) ** 0.5


@pytest.mark.parametrize("key", [("id",), ()], ids=["by key", "by the whole row"])
def test_rows_stay_on_their_side_when_others_and_columns_are_added(lake, key):
    dataset = ROWS.model_copy(update={"unique_key": key})
    before = held_out(lake, 0.3, dataset)
    more = add_rows(lake, 2)
    later = more.set_column(0, "id", pa.array([f"3-{i}" for i in range(len(more))])).append_column("new", more["size"])
    later = later.set_column(later.column_names.index("_batch"), "_batch", pa.array([batch(3).id] * len(later)))
    version, _ = lake.write_once("rows", later, app="rows/3", on_schema_change="evolve")
    BatchLedger(lake, "rows").accept(batch(3), version=version, rows=len(later), run_key="test")
    after = held_out(lake, 0.3, dataset)
    assert {id_ for id_ in after if id_.startswith("1-")} == before
    assert len(after) > len(before)
    assert before <= held_out(lake, 0.5, dataset)


def test_which_rows_they_are_is_no_matter_of_engine_or_python(lake):
    # As anybody can compute it: another answer would put rows that a champion has seen before it.
    ids = [f"1-{i}" for i in range(400)]
    digests = {id_: hashlib.md5(f"holdout;id={len(id_)}:{id_};".encode()).hexdigest() for id_ in ids}
    assert held_out(lake, 0.1) == {id_ for id_ in ids if int(digests[id_][:12], 16) < 0.1 * 16**12}
    rows = LabelledSet(lake, ROWS)
    rows.con.execute("set threads = 1")
    view = rows.select("held", share=(0.0, 0.1))
    assert {id_ for (id_,) in rows.con.sql(f"select id from {view} order by size").fetchall()} == held_out(lake, 0.1)


def test_a_key_is_itself_whatever_type_it_has():
    con = duckdb.connect()
    con.sql("create table t as select 7::bigint as a, 7::double as b, 7::decimal(10, 2) as c, '7' as d")
    drawn = [con.sql(f"select {hashed(['k'])} from (select {name} as k from t)").fetchone() for name in "abcd"]
    assert len(set(drawn)) == 1
    assert con.sql(f"select {hashed(['k'])} from (select 7.5 as k)").fetchone() != drawn[0]


def spec(lake: Lake, **kwargs) -> TrainSpec:
    return TrainSpec(pipeline="p", lake=lake.root, model="m", dataset=ROWS, estimator=RIDGE, **kwargs)


def test_a_share_is_above_none_and_at_most_half(lake):
    assert spec(lake, holdout=0.5).holdout == 0.5
    assert spec(lake, holdout="0.5").holdout == 0.5
    assert spec(lake, holdout="P10D").holdout == timedelta(days=10)
    for wrong in (0, 1, 0.6, -0.1):
        with pytest.raises(ValidationError, match=r"greater than 0|less than or equal to 0\.5"):
            spec(lake, holdout=wrong)
    with pytest.raises(ValidationError, match="no row would be left that the champion has not seen"):
        spec(lake, holdout=0.2, refit=True)


@pytest.fixture
def nameless(world):
    """A world whose rows know no time."""
    add_rows(world.lake, 1)
    world.gate = {"rmse": Gate(vs_champion="better")}
    return world


def train(world, key, estimator=RIDGE, **kwargs):
    return world.train(key, estimator, **{"dataset": ROWS, "holdout": 0.2, **kwargs})


def judge(world, key, trained):
    return world.evaluate(key, trained, dataset=ROWS, gates=world.gate, primary_metric="rmse")


def champion(world, key, estimator=RIDGE, **kwargs):
    trained = train(world, key, estimator, **kwargs)
    verdict = judge(world, key, trained)
    world.promote(key, trained, verdict, world.register(key, trained, verdict).version)
    return trained, verdict


@pytest.mark.slow
def test_the_held_out_rows_are_judged_on_and_not_fitted_on(nameless):
    trained, verdict = champion(nameless, "a", DUMMY)
    assert trained.rows + trained.holdout_rows == 400
    assert trained.held_out == HeldOut(share=0.2, by=("id",))
    assert trained.holdout_rows == len(held_out(nameless.lake, 0.2)) == verdict.rows
    assert verdict.verdict == "accepted"

    _, verdict = champion(nameless, "b")
    assert (verdict.verdict, verdict.champion_version, verdict.rows) == ("accepted", "1", trained.holdout_rows)
    assert f"over {verdict.rows} rows" in verdict.reason
    assert judge(nameless, "c", train(nameless, "c", DUMMY)).verdict == "refused"


@pytest.mark.slow
def test_a_smaller_share_is_new_to_both(nameless):
    champion(nameless, "a", DUMMY, holdout=0.2)
    assert judge(nameless, "b", train(nameless, "b", holdout=0.4)).rows == len(held_out(nameless.lake, 0.2))
    add_rows(nameless.lake, 2)
    both = held_out(nameless.lake, 0.2) | {id_ for id_ in held_out(nameless.lake, 0.4) if id_.startswith("2-")}
    assert judge(nameless, "c", train(nameless, "c", holdout=0.4)).rows == len(both)


@pytest.mark.slow
def test_of_a_champion_that_held_nothing_out_only_later_batches_are_new(nameless):
    champion(nameless, "a", DUMMY, holdout=None)
    refused = judge(nameless, "b", train(nameless, "b"))
    assert refused.verdict == "refused"
    assert refused.reason == "no labelled row is held out: champion version 1 has seen all of them"
    add_rows(nameless.lake, 2)
    judged = judge(nameless, "c", train(nameless, "c"))
    assert judged.rows == sum(id_.startswith("2-") for id_ in held_out(nameless.lake, 0.2))


@pytest.mark.slow
def test_another_key_holds_other_rows_out(nameless):
    champion(nameless, "a", DUMMY)
    keyless = ROWS.model_copy(update={"unique_key": (), "columns": ("size",)})
    trained = train(nameless, "b", dataset=keyless)
    assert trained.held_out == HeldOut(share=0.2, by=("colour", "id", "size"))
    verdict = nameless.evaluate("b", trained, dataset=keyless, gates=nameless.gate, primary_metric="rmse")
    assert "champion version 1 has seen all of them" in verdict.reason


@pytest.mark.slow
def test_who_judges_draws_by_what_the_training_drew_by(nameless):
    trained = train(nameless, "a")
    other = ROWS.model_copy(update={"unique_key": ()})
    verdict = nameless.evaluate("a", trained, dataset=other, gates=nameless.gate, primary_metric="rmse")
    assert verdict.rows == trained.holdout_rows


@pytest.mark.slow
def test_without_a_holdout_nothing_tells_the_rows_apart(nameless):
    trained = train(nameless, "a", holdout=None)
    assert judge(nameless, "a", trained).reason == "no champion, no bound to meet, and no row was held out"
    bounded = {"rmse": Gate(at_most=10)}
    verdict = nameless.evaluate("b", trained, dataset=ROWS, gates=bounded, primary_metric="rmse")
    assert verdict.verdict == "refused"
    assert "or evaluate.holdout, a share" in verdict.reason
    with pytest.raises(DataError, match=r"hold out a share of the rows, such as 0\.2"):
        train(nameless, "c", holdout=timedelta(days=3))


@pytest.mark.slow
def test_a_search_is_judged_on_as_large_a_share_of_the_rest(nameless):
    pytest.importorskip("optuna")
    search = Search(space={"alpha": [0.1, 1000.0]}, trials=3, metric="rmse")
    trained = train(nameless, "a", search=search)
    run = models.connect(nameless.context).get_run(trained.run_id)
    assert float(run.data.params["alpha"]) == 0.1
    with pytest.raises(DataError, match="search needs a holdout"):
        train(nameless, "b", search=search, holdout=None)


@pytest.mark.slow
def test_a_regression_lives_without_time(nameless):
    """Train on a batch, score the next one alone, watch it, and decide by the error against the holdout's."""
    trained, _ = champion(nameless, "a")
    assert trained.fitted_until == batch(1).end - timedelta(microseconds=1)
    assert PromotionLedger(nameless.lake, "m").champion().fitted_until == trained.fitted_until
    add_rows(nameless.lake, 2)
    add_rows(nameless.lake, 3, slope=-3.0)
    scored = nameless.score(dataset="rows", event_timestamp=None)
    assert [one.batch for one in scored.batches] == [batch(2).id, batch(3).id]

    drift = nameless.drift(dataset="rows", event_timestamp=None)
    assert [(one.batch, one.null) for one in drift.batches] == [(batch(2).id, "rows"), (batch(3).id, "rows")]
    assert not drift.batches[0].drifted

    metrics = ("rmse", "mae", "r2", "rmse_ratio")
    watched = nameless.performance(labels="rows", target="price", event_timestamp=None, metrics=metrics)
    good, bad = (one.metrics for one in watched.batches)
    assert 0.8 < good["rmse_ratio"].value < 1.25
    assert good["rmse"].blocks == 400
    assert bad["rmse_ratio"].value > 3

    policy = RetrainPolicy(when={"rmse_ratio": Condition(above=1.3, alpha=0.01)})
    spec = DecideSpec(**nameless.common, model="m", labels="rows", retrain=policy)
    decisions = decide(spec, nameless.at("decide")).decisions
    assert [d.decision for d in decisions] == ["none", "retrain"]
    assert decisions[-1].reason.startswith("rmse_ratio +5.1654")
    assert "in 400 rows" in decisions[-1].reason


@pytest.mark.slow
@pytest.mark.parametrize("at", [None, "at"], ids=["no time", "a time that rows share"])
def test_rows_without_a_key_are_scored_and_watched(nameless, at):
    keyless = ROWS.model_copy(update={"unique_key": (), "columns": ("size", "colour")})
    trained = train(nameless, "a", dataset=keyless)
    verdict = nameless.evaluate("a", trained, dataset=keyless, gates=nameless.gate, primary_metric="rmse")
    nameless.promote("a", trained, verdict, nameless.register("a", trained, verdict).version)
    table = add_rows(nameless.lake, 2, count=300) if at is None else None
    if table is None:
        timed = add_rows(Lake(nameless.lake.root + "-other"), 2, count=300).append_column(
            "at", pa.array([batch(2).start] * 300, pa.timestamp("us", "UTC"))
        )
        version, _ = nameless.lake.write_once("rows", timed, app="rows/2", on_schema_change="evolve")
        BatchLedger(nameless.lake, "rows").accept(batch(2), version=version, rows=300, run_key="test")
    nameless.score(dataset="rows", event_timestamp=at, unique_key=())
    (found,) = nameless.drift(dataset="rows", event_timestamp=at).batches
    assert found.rows == 300
    assert "prediction" in {column.column for column in found.columns}

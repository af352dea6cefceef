"""Train, evaluate, register, promote, score, measure, roll back: real MLflow, models of known worth."""

import numpy as np
import pytest

from airflow_mlops_provider.contracts.adopt import AdoptSpec
from airflow_mlops_provider.contracts.base import DatasetRef
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.adopt import adopt
from airflow_mlops_provider.steps.promotions import PromotionLedger
from tests.steps.flow import DATASET, DUMMY, ZONE, add_month

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]


def test_same_inputs_and_seed_give_the_same_predictions(world):
    first, second = world.train("a"), world.train("b")
    assert first.run_id != second.run_id
    x = add_month(world.lake, 3).select(["size", "colour"]).to_pandas()
    given = [models.predict(models.load(t.model_uri), x) for t in (first, second)]
    np.testing.assert_array_equal(given[0], given[1])


def test_a_retry_takes_the_finished_run(world):
    assert world.train("a") == world.train("a")


def test_the_holdout_is_not_fitted_on_and_the_twin_is(world):
    trained = world.train("a", refit=True)
    assert (trained.rows, trained.holdout_rows) == (49 * 40, 10 * 40)
    assert trained.fitted_until < trained.holdout_start <= trained.refitted_until
    assert trained.refit_run_id not in (None, trained.run_id)
    assert trained.versions == {"labels": 2}


def test_a_run_tells_what_made_it(world):
    trained = world.train("a", parameters={"C": 0.5})
    client = models.connect(world.context)
    run = client.get_run(trained.run_id)
    assert run.data.params == {"C": "0.5", "seed": "0", "rows": "1960"}
    assert run.data.tags["mlops.version.labels"] == "2"
    assert len(run.data.tags["mlops.code"]) == 16
    assert 0.3 < run.data.metrics["holdout_log_loss"] < 0.69
    profile = models.load_profile(client, trained.model_uri)
    assert [c.name for c in profile.columns] == ["size", "colour", "prediction"]
    assert profile.rows == 1960


def test_unknown_columns_and_batches_are_named(world):
    with pytest.raises(DataError, match=r"labels has no column \['weight'\]; it has"):
        world.train("a", dataset=DATASET.model_copy(update={"columns": ("weight",)}))
    with pytest.raises(DataError, match="batch '2013-07-01' was not accepted; the newest is 2013-02-01"):
        world.train("a", until="2013-07-01")


def test_the_first_model_is_promoted_without_a_champion(world):
    trained = world.train("a", refit=True)
    verdict = world.evaluate("a", trained)
    assert verdict.verdict == "accepted"
    made = world.register("a", trained, verdict)
    assert made.run_id == trained.refit_run_id
    done = world.promote("a", trained, verdict, made.version)
    assert (done.promotion.sequence, done.promotion.version, done.promotion.batch) == (1, "1", "2013-02-01")
    assert done.promotion.fitted_until == trained.refitted_until


def test_a_better_challenger_passes(world):
    world.champion("a", estimator=DUMMY, refit=True)
    add_month(world.lake, 3)
    better = world.evaluate("b", world.train("b"))
    assert better.verdict == "accepted"
    assert better.gates[0].gain > 0
    assert better.champion_sequence == 1


def test_a_worse_challenger_is_refused(watched):
    add_month(watched.lake, 3)
    worse = watched.evaluate("b", watched.train("b", estimator=DUMMY))
    assert worse.verdict == "refused"
    assert worse.gates[0].gain < 0


def test_without_rows_that_neither_saw_the_challenger_is_refused(watched):
    verdict = watched.evaluate("b", watched.train("b"))
    assert verdict.verdict == "refused"
    assert "champion version 1 has seen all of them" in verdict.reason


def test_a_refused_challenger_is_registered_as_it_was_judged(watched):
    trained = watched.train("b", refit=True)
    made = watched.register("b", trained, watched.evaluate("b", trained))
    assert made.run_id == trained.run_id
    tags = models.connect(watched.context).get_model_version("m", made.version).tags
    assert tags["mlops.verdict"] == "refused"
    assert "has seen all of them" in tags["mlops.reason"]


def test_slices_name_the_largest_gap(world):
    world.champion("a", estimator=DUMMY, refit=True)
    add_month(world.lake, 3)
    verdict = world.evaluate("b", world.train("b"), slices=("colour",), min_slice_rows=50)
    assert {s.value for s in verdict.slices} == {"red", "green"}
    assert sum(s.rows for s in verdict.slices) == verdict.rows
    assert verdict.largest_gap.startswith("colour ")


def test_scoring_begins_after_the_fit_and_goes_in_order_once(world):
    assert world.score().no_champion == ("2013-01-01", "2013-02-01")
    world.champion("a", refit=True)
    assert world.score().batches == ()
    for month in (4, 3, 5):
        add_month(world.lake, month)
    assert [b.batch for b in world.score().batches] == ["2013-03-01", "2013-04-01", "2013-05-01"]
    assert world.score().batches == ()
    predictions = world.lake.read("predictions/m").to_pydict()
    assert len(set(predictions["id"])) == len(predictions["id"]) == 40 * (31 + 30 + 31)
    assert set(predictions["model_version"]) == {"1"}
    assert set(predictions["data_version"]) == {3, 4, 5}
    assert all(0 < p < 1 for p in predictions["prediction"])


def test_parts_do_not_change_the_predictions(watched):
    add_month(watched.lake, 3)
    watched.score(batch_rows=2048)
    x = watched.lake.read("entities").to_pandas().query("_batch == '2013-03-01'").set_index("id")
    model = models.load(models.version_uri(models.connect(watched.context), "m", "1"))
    expected = dict(zip(x.index, models.predict(model, x[["size", "colour"]]), strict=True))
    got = watched.lake.read("predictions/m").to_pydict()
    np.testing.assert_allclose(got["prediction"], [expected[i] for i in got["id"]])


def test_rows_without_an_outcome_are_scored_and_not_measured(watched):
    add_month(watched.lake, 3, labels=False)
    watched.score()
    assert watched.performance().batches == ()
    table = add_month(watched.lake, 3)
    measured = watched.performance().batches[0]
    assert (measured.rows, measured.labelled) == (table.num_rows, table.num_rows)
    assert measured.metrics["roc_auc"].value > 0.7
    assert measured.metrics["log_loss"].blocks == 31
    assert watched.performance().batches == ()


def test_a_worse_champion_is_rolled_back_once(watched):
    add_month(watched.lake, 3)
    watched.score()
    watched.champion("bad", estimator=DUMMY, refit=True)
    add_month(watched.lake, 4)
    scored = watched.score().batches[0]
    assert (scored.version, scored.shadow_version) == ("2", "1")
    measured = watched.performance().batches[-1]
    assert measured.shadow_difference.value > 0
    done = watched.rollback("judge/2013-04-01")
    assert done.rolled_back
    assert "worse in probation: loss is +0." in done.reason
    champion = PromotionLedger(watched.lake, "m").champion()
    assert (champion.version, champion.kind, champion.former) == ("1", "rollback", "2")
    client = models.connect(watched.context)
    assert str(client.get_model_version_by_alias("m", "champion").version) == "1"
    assert client.get_model_version("m", "2").tags["mlops.rolled_back"] == done.reason
    assert not watched.rollback("again").rolled_back


def test_a_better_champion_stays_and_probation_ends(world):
    world.champion("bad", estimator=DUMMY, refit=True)
    add_month(world.lake, 3)
    world.champion("good", refit=True)
    for month in (4, 5):
        add_month(world.lake, month)
    scored = world.score().batches
    assert [b.shadow_version for b in scored] == ["1", None]
    world.performance()
    done = world.rollback("judge")
    assert not done.rolled_back
    assert done.reason.startswith("version 2 stays: loss is -0.")


def test_drift_is_measured_against_the_version_that_scored(watched):
    add_month(watched.lake, 3)
    watched.score()
    (quiet,) = watched.drift().batches
    assert {c.column for c in quiet.columns} == {"size", "colour", "prediction"}
    assert quiet.version == "1"
    assert watched.drift().batches == ()


def test_a_model_that_exists_is_adopted_and_then_watched(world):
    trained = world.train("elsewhere")
    client = models.connect(world.context)
    client.create_registered_model("m")
    client.create_model_version("m", trained.model_uri, run_id=trained.run_id)
    client.set_registered_model_alias("m", "champion", "1")
    spec = {"model": "m", "reference": DatasetRef(name="labels"), "event_timestamp": "at", "timezone": ZONE.key}
    adopted = adopt(AdoptSpec(**world.common, **spec), world.at("adopt"))
    assert (adopted.version, adopted.columns) == ("1", ("size", "colour", "prediction"))
    assert (adopted.promotion.kind, adopted.promotion.sequence) == ("outside", 1)
    assert not adopt(AdoptSpec(**world.common, **spec), world.at("again")).written
    world.score()
    assert [b.version for b in world.drift().batches] == ["1", "1"]


def test_adopting_what_is_not_there_says_so(world):
    spec = AdoptSpec(**world.common, model="nobody", reference=DatasetRef(name="labels"))
    with pytest.raises(DataError, match="'nobody' has no alias 'champion'; name one with --version"):
        adopt(spec, world.at("adopt"))

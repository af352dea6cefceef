"""A training that searches its parameters: on which rows, what it keeps, and what a retry repeats."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_mlops_provider.contracts.search import Range, Search
from airflow_mlops_provider.exceptions import DataError
from airflow_mlops_provider.steps import models
from airflow_mlops_provider.steps.checkpoint import kept_beside
from tests.steps.flow import DATASET

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]

SEARCH = Search(space={"C": Range(low=0.001, high=10.0, log=True)}, trials=4)
TRAINERS = """
import pathlib

from sklearn.linear_model import LogisticRegression

HERE = pathlib.Path(__file__).parent


def counted(data, params, context):
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{params['C']} {len(data.y)} {len(data.valid.y) if data.valid is not None else 0}\\n")
    if (HERE / "dies").exists() and len((HERE / "calls").read_text().splitlines()) == 3:
        (HERE / "dies").unlink()
        raise KeyboardInterrupt
    for step in range(3):
        context.log_metric("log_loss", 1.0 / (step + 1), step)
    return LogisticRegression(C=params["C"]).fit(data.X[["size"]], data.y)
"""


@pytest.fixture
def search(world, tmp_path, request):
    """Train with a search by the function above; `calls` has a line a fit: C, rows, rows of the valid part."""
    name = f"tuned_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(TRAINERS)

    def search(key="a", **more):
        size = DATASET.model_copy(update={"columns": ("size",)})
        given = {"dataset": size, "search": SEARCH, "holdout": timedelta(days=10), "refit": True, **more}
        return world.train(key, estimator=None, python_callable=f"{name}.counted", bundle=str(tmp_path), **given)

    return search


def calls(tmp_path):
    return [tuple(map(float, line.split())) for line in (tmp_path / "calls").read_text().splitlines()]


def test_trials_are_judged_before_the_holdout_and_the_best_is_fitted_twice(search, tmp_path, world):
    trained = search()
    made = calls(tmp_path)
    assert len(made) == SEARCH.trials + 2
    *trials, judged, refit = made
    # The trials' valid part is as long as the holdout, and none of their rows is in it.
    assert {(rows, valid) for _, rows, valid in trials} == {(judged[1] - trials[0][2], trials[0][2])}
    assert trials[0][2] == judged[2] == trained.holdout_rows
    assert (judged[0], refit[0]) == (judged[0], judged[0])
    assert judged[0] in {c for c, _, _ in trials}
    client = models.connect(world.context)
    runs = client.search_runs([trained.experiment_id], "tags.`mlops.trial` != ''")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {trained.run_id}
    assert len(runs) == SEARCH.trials
    best = min(runs, key=lambda run: run.data.metrics.get("log_loss", 9.0))
    assert float(best.data.params["C"]) == judged[0]
    assert float(client.get_run(trained.run_id).data.params["C"]) == judged[0]
    assert world.lake.get(kept_beside(world.lake, "a", "search/trials.json")) is None


def test_a_retry_goes_on_with_the_search(search, tmp_path):
    (tmp_path / "dies").touch()
    with pytest.raises(KeyboardInterrupt):
        search()
    search()
    made = calls(tmp_path)
    # Two whole trials, the one that died, then what is left, and both fits.
    assert len(made) == 3 + (SEARCH.trials - 2) + 2
    done = [c for c, *_ in (*made[:2], *made[3:-2])]
    assert len(set(done)) == SEARCH.trials


def test_without_a_holdout_there_is_nothing_to_judge_by(search):
    with pytest.raises(DataError, match="search needs a holdout"):
        search(holdout=None, refit=False)

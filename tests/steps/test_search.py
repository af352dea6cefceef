"""The search: bounds, the best trial, what is given up, and a resumed one that repeats nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_mlops_provider.contracts.search import Range, Search
from airflow_mlops_provider.exceptions import ConfigError, DataError, TransientError
from airflow_mlops_provider.steps.search import search

SPACE = {"x": Range(low=-1.0, high=1.0), "depth": Range(low=2, high=8, step=2), "kind": ("a", "b")}


def bowl(params, report):
    return (params["x"] - 0.3) ** 2 + (params["kind"] == "b")


def found(spec=None, attempt=bowl, **options):
    return search(spec or Search(space=SPACE, trials=25), attempt, higher_is_better=False, seed=0, **options)


def test_the_best_of_all_is_returned():
    tried = []
    best = found(record=tried.append)
    assert len(tried) == 25
    assert best.value == min(trial.value for trial in tried)
    assert (abs(best.params["x"] - 0.3) < 0.3, best.params["kind"]) == (True, "a")


def test_higher_is_better_where_it_is():
    tried = []
    best = search(Search(space=SPACE, trials=8), bowl, higher_is_better=True, seed=0, record=tried.append)
    assert best.value == max(trial.value for trial in tried)


@settings(max_examples=20, deadline=None)
@given(low=st.integers(1, 50), span=st.integers(1, 50), log=st.booleans(), seed=st.integers(0, 100))
def test_every_proposal_lies_in_its_range(low, span, log, seed):
    spec = Search(space={"n": Range(low=low, high=low + span, log=log), "x": Range(low=0.5, high=2.5)}, trials=4)
    seen = []
    search(spec, lambda params, _: seen.append(params) or 1.0, higher_is_better=False, seed=seed)
    assert all(isinstance(p["n"], int) and low <= p["n"] <= low + span and 0.5 <= p["x"] <= 2.5 for p in seen)


def test_same_seed_same_trials():
    one, other = [], []
    found(record=one.append)
    found(record=other.append)
    assert [trial.params for trial in one] == [trial.params for trial in other]


def test_a_resumed_search_tries_only_what_is_left():
    first = []

    def dies(params, report):
        if len(first) == 10:
            raise KeyboardInterrupt
        return bowl(params, report)

    with pytest.raises(KeyboardInterrupt):
        found(attempt=dies, record=first.append)
    assert len(first) == 10
    rest = []
    best = found(known=first, record=rest.append)
    assert [trial.number for trial in first + rest] == list(range(25))
    assert not {trial.params["x"] for trial in first} & {trial.params["x"] for trial in rest}
    assert best.value == min(trial.value for trial in first + rest)
    nothing = []
    assert found(known=first + rest, record=nothing.append) == best
    assert nothing == []


def test_a_trial_that_goes_badly_is_given_up():
    tried = []

    def learns(params, report):
        for step in range(10):
            report(bowl(params, report) + 10 - step, step)
        return bowl(params, report)

    found(attempt=learns, record=tried.append)
    states = {trial.state for trial in tried}
    assert states == {"complete", "pruned"}
    assert all(trial.value is None for trial in tried if trial.state == "pruned")


def test_one_bad_choice_does_not_end_the_search():
    def picky(params, report):
        if params["kind"] == "b":
            raise ValueError("no b")
        return bowl(params, report)

    tried = []
    best = found(attempt=picky, record=tried.append)
    assert best.params["kind"] == "a"
    assert {trial.error for trial in tried if trial.state == "failed"} == {"ValueError: no b"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_no_result(value):
    with pytest.raises(DataError, match="none of 25 trials was completed: the metric is not finite"):
        found(attempt=lambda *_: value)


def test_bad_input_ends_it_at_once():
    def wrong(*_):
        raise ConfigError("no such column")

    with pytest.raises(ConfigError, match="no such column"):
        found(attempt=wrong)


def test_sigterm_ends_it_and_the_trial_that_it_met_is_tried_again():
    tried = []

    def stopped(params, report):
        if len(tried) == 2:
            raise TransientError("stopped by SIGTERM")
        return bowl(params, report)

    with pytest.raises(TransientError):
        found(attempt=stopped, record=tried.append)
    assert [trial.state for trial in tried] == ["complete", "complete"]


def test_time_that_is_over_ends_it_also_over_several_tries():
    now = iter(range(0, 1000, 5))
    tried = []
    spec = Search(space=SPACE, trials=100, time=timedelta(seconds=20))
    found(spec, record=tried.append, clock=lambda: next(now))
    assert len(tried) == 4
    found(spec, known=tried[:3], record=tried.append, clock=lambda: next(now))
    assert len(tried) == 5


@pytest.mark.parametrize(
    "fault", [{"low": 2, "high": 2}, {"low": 0, "high": 1, "log": True}, {"low": 1, "high": 9, "log": True, "step": 2}]
)
def test_what_is_no_range_is_refused(fault):
    with pytest.raises(ValidationError):
        Range(**fault)

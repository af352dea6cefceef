from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.factory.shapes import duration
from airflow_mlops_provider.factory.validate import pipeline_of

Errors = Callable[..., list[str]]

SMALLEST = """\
pipeline: churn
data: {ingest: {visits: {files: "in/{batch}.csv"}}}
training: {dataset: {target: churned}, train: {estimator: sklearn.linear_model.LogisticRegression}}
"""


def test_the_smallest_file_is_valid(errors: Errors) -> None:
    assert errors(SMALLEST) == []


def test_an_unknown_key_says_where_it_stands_and_what_was_meant(errors: Errors) -> None:
    text = """\
    pipeline: churn
    data:
      ingest:
        visits:
          files: visits.csv



    training:
      dataset: {target: churned}
      train:
        estimator: sklearn.svm.SVC
        runs_on:
          kubernets: {image: train}
    """

    assert errors(text) == [
        "churn.yaml:14:7 training.train.runs_on: unknown key 'kubernets'. Did you mean 'kubernetes'?"
    ]


def test_all_errors_of_a_file_come_at_once(errors: Errors) -> None:
    text = """\
    pipeline: Churn
    retires: 3
    timezone: America/New_Yrok
    defaults: {retries: yes, retry_delay: 5}
    data:
      start: 2013-13-01
      ingest:
        B: {files: x, labels: True, unique_key: id}
      transform: {select: x}
    training:
      dataset: {window: expanding, target: y}
      train: {}
      evaluate: {holdout: P10D, gates: {log_loss: {vs_champion: best}, roc_auc: {}}}
      approval: {approvers: []}
    monitoring: {retrain: {cooldown: 0.5}}
    notify: []
    """

    assert errors(text) == [
        (
            "churn.yaml:1:11 pipeline: a name of a-z, 0-9 and _ is wanted, a letter first, at most 63 characters, "
            "not 'Churn'"
        ),
        (
            "churn.yaml:2:1 unknown key 'retires'. Known: alias, data, defaults, environments, lake, model, "
            "monitoring, notify, owner, pipeline, scoring, tags, timezone, training"
        ),
        "churn.yaml:3:1 timezone: no time zone 'America/New_Yrok'; write one such as America/New_York",
        "churn.yaml:4:21 defaults.retries: a whole number is wanted, not 'yes'",
        "churn.yaml:4:39 defaults.retry_delay: a duration such as 15m, 6h or 14d is wanted, not 5",
        "churn.yaml:6:10 data.start: a day such as 2013-01-31 is wanted, not '2013-13-01'",
        (
            "churn.yaml:8:5 data.ingest.B: a name of a-z, 0-9 and _ is wanted, a letter first, at most 63 characters, "
            "not 'B'"
        ),
        "churn.yaml:8:27 data.ingest.B.labels: true or false is wanted, not 'True'",
        "churn.yaml:8:45 data.ingest.B.unique_key: a list is wanted, not 'id'",
        "churn.yaml:9:3 data.transform: 'project_dir' is missing",
        "churn.yaml:12:3 training.train: give exactly one of python_callable, estimator",
        "churn.yaml:13:23 training.evaluate.holdout: a duration such as 15m, 6h or 14d is wanted, not 'P10D'",
        (
            "churn.yaml:13:61 training.evaluate.gates.log_loss.vs_champion: one of 'better', 'non_inferior' is wanted, "
            "not 'best'"
        ),
        "churn.yaml:14:25 training.approval.approvers: at least one entry is wanted, not []",
        "churn.yaml:15:34 monitoring.retrain.cooldown: a duration such as 15m, 6h or 14d is wanted, not 0.5",
        "churn.yaml:16:9 notify: a mapping of keys is wanted, not []",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pipeline: churn", "churn.yaml:1:1 no section: give at least one of data, training, scoring, monitoring"),
        ("scoring: {dataset: a}", "churn.yaml:1:1 'pipeline' is missing"),
        ("pipeline: a\ndata: {}", "churn.yaml:2:1 data: give exactly one of ingest, from"),
        ("pipeline: a\ndata: {ingest: {b: {}}}", ("churn.yaml:2:17 data.ingest.b: give exactly one of python_callable, "
         "files, sql; got none")),
        ("pipeline: a\ndata: {from: b, schedule: '@daily'}", ("churn.yaml:2:1 data: with `from` the other pipeline's "
         "data section says everything; remove the other keys")),
        ("pipeline: a\ndata: {start: 2014-01-01, end: 2013-01-01, ingest: {b: {files: c}}}",
         "churn.yaml:2:1 data: end must be later than start"),
        ("pipeline: a\nmonitoring: {reconcile: '@daily'}", ("churn.yaml:2:1 monitoring: give drift, performance or "
         "both")),
        ("pipeline: a\nscoring: {dataset: b}\nenvironments: {prod: 3}", ("churn.yaml:3:22 environments.prod: a mapping "
         "of keys is wanted")),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said_at_its_key(errors: Errors, text: str, said: str) -> None:
    assert errors(text) == [said]


def test_an_error_in_an_environment_points_into_the_environment(errors: Errors) -> None:
    text = SMALLEST + "environments:\n  prod:\n    defaults: {retries: many}\n"

    assert errors(text) == []
    assert errors(text, environment="prod") == [
        "churn.yaml:6:25 defaults.retries: a whole number is wanted, not 'many'"
    ]


@pytest.mark.parametrize(("text", "seconds"), [("15m", 900), ("6h", 21_600), ("14d", 1_209_600), ("2w", 1_209_600)])
def test_durations_are_a_number_and_a_unit(text: str, seconds: int) -> None:
    found = duration(text)

    assert found is not None
    assert found.total_seconds() == seconds


@pytest.mark.parametrize("text", ["15", "m", "0d", "-1d", "1.5h", "PT15M", "15 m", 15, None, True])
def test_nothing_else_is_a_duration(text: object) -> None:
    assert duration(text) is None


def test_a_trainers_parameters_are_kept_as_they_are_written() -> None:
    text = SMALLEST.replace(
        "LogisticRegression", "LogisticRegression, parameters: {C: 1, penalty: null, holdout: 15m, on: NO}"
    )
    training = pipeline_of(parse(text, "churn.yaml").merged(None)).training

    assert training is not None
    assert training.train.parameters == {"C": 1, "penalty": None, "holdout": "15m", "on": "NO"}

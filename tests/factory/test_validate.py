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
            "churn.yaml:2:1 unknown key 'retires'. Known: alias, data, defaults, environments, extends, lake, "
            "matrix, model, monitoring, notify, owner, parameters, pipeline, scoring, tags, tasks, timezone, training"
        ),
        "churn.yaml:3:1 timezone: no time zone 'America/New_Yrok'. Did you mean 'America/New_York'?",
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
            "not 'best'. Did you mean 'better'?"
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


def test_a_wrong_key_hides_no_other_error_of_the_file(errors: Errors) -> None:
    text = """\
    pipeline: churn
    retires: 3
    data:
      schedule: "0 0 31 2 *"
      ingest:
        visits: {python_callable: include.code.visit}
        plans: {files: 3, conn_id: shop}
      validate: {visits: {expectation_suite: suit.json}}
      transform: {project_dir: dbt}
    training: {dataset: {target: "{{ var.value.target }}"}, train: {estimator: acme.Model}}
    scoring: {dataset: visits, probation: some}
    """

    assert [line.partition(":")[2].partition(": ")[0] for line in errors(text)] == [
        "2:1 unknown key 'retires'. Known",
        "4:13 data.schedule",
        "6:31 data.ingest.visits.python_callable",
        "7:20 data.ingest.plans.files",
        "8:42 data.validate.visits.expectation_suite",
        "9:28 data.transform.project_dir",
        "10:30 training.dataset.target",
        "10:76 training.train.estimator",
        "11:39 scoring.probation",
    ]


def test_a_section_that_lacks_what_it_needs_hides_no_other(errors: Errors) -> None:
    text = SMALLEST.replace("train: {estimator", "train: {estimate").replace("in/{batch}.csv", "../in.csv")

    assert [line.split(": ")[0] for line in errors(text)] == [
        "churn.yaml:2:33 data.ingest.visits.files",
        "churn.yaml:3:48 training.train",
    ]


def test_what_is_left_of_a_wrong_section_is_not_asked_whether_it_fits(errors: Errors) -> None:
    text = SMALLEST.replace("target", "traget") + "scoring: {dataset: visitors}\n"

    assert errors(text) == [
        "churn.yaml:3:12 training.dataset: 'target' is missing",
        "churn.yaml:3:22 training.dataset: unknown key 'traget'. Did you mean 'target'?",
    ]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{C: {low: 1}}", ["3:65 training.train.search.space.C: 'high' is missing"]),
        (
            "{C: {low: 1, high: 2, logs: true}}",
            ["3:86 training.train.search.space.C: unknown key 'logs'. Did you mean 'log'?"],
        ),
        ("{C: [[1]]}", None),
        ("{C: 3}", None),
    ],
)
def test_what_may_be_two_things_is_told_what_is_wrong_inside(
    errors: Errors, space: str, said: list[str] | None
) -> None:
    found = errors(SMALLEST.replace("estimator:", f"search: {{space: {space}}}, estimator:"))

    assert found
    assert all(" training.train.search.space.C" in line for line in found)
    assert said is None or found == [f"churn.yaml:{line}" for line in said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("defaults: {runs_on: lokal}", "`local`, {python: PATH} or {kubernetes: {...}} is wanted, not 'lokal'"),
        ("defaults: {retry_delay: expanding}", "a duration such as 15m, 6h or 14d is wanted, not 'expanding'"),
        ("notify: {notifier: include.code.Notifier, on: [refusal]}", "not 'refusal'. Did you mean 'refused'?"),
        ("timezone: '../etc'", "no time zone '../etc'; write one such as America/New_York"),
    ],
)
def test_a_wrong_value_is_told_what_would_do(errors: Errors, text: str, said: str) -> None:
    (found,) = errors(f"{SMALLEST}{text}\n")

    assert found.endswith(said)


def test_a_trainers_parameters_are_kept_as_they_are_written() -> None:
    text = SMALLEST.replace(
        "LogisticRegression", "LogisticRegression, parameters: {C: 1, penalty: null, holdout: 15m, on: NO}"
    )
    training = pipeline_of(parse(text, "churn.yaml").merged(None)).training

    assert training is not None
    assert training.train.parameters == {"C": 1, "penalty": None, "holdout": "15m", "on": "NO"}

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from airflow_mlops_provider.factory.compare import differences, differences_json, differences_text
from airflow_mlops_provider.factory.plan_data import PipelinePlan

Planned = Callable[..., PipelinePlan]
BASE = """\
pipeline: churn
data:
  schedule: "@daily"
  ingest: {visits: {files: "in/{batch}.csv", unique_key: [id]}}
training:
  dataset: {target: churned}
  train: {estimator: sklearn.svm.SVC, parameters: {C: 1, kernel: rbf}}
scoring: {dataset: visits, probation: 0}
"""


@pytest.fixture
def told(planned: Planned) -> Callable[..., list[str]]:
    """Return a function that gives the lines of what a replacement in BASE changes."""

    def told(old: str, new: str, **given: str) -> list[str]:
        assert old in BASE
        plans = planned(BASE, **given), planned(BASE.replace(old, new), **given)
        return differences_text(*plans).splitlines()[1:]

    return told


def test_the_same_plan_differs_in_nothing(planned: Planned) -> None:
    plan, moved = planned(BASE), planned(f"# a comment\n\n{BASE}")

    assert differences(plan, moved) == []
    assert differences_text(plan, moved) == ("churn (churn.yaml), environment none, against churn.yaml\nno difference")


def test_a_changed_argument_is_told_with_its_line(told: Callable[..., list[str]]) -> None:
    assert told("C: 1, kernel: rbf", "C: 1.0, gamma: 2") == [
        "~ churn-train.train",
        "    ~ parameters.C = 1 -> 1.0  # churn.yaml:7",
        "    + parameters.gamma = 2  # churn.yaml:7",
        '    - parameters.kernel = "rbf"',
        "tasks: 0 added, 0 removed, 1 changed",
    ]


def test_a_changed_schedule_is_the_dags(told: Callable[..., list[str]]) -> None:
    assert told('schedule: "@daily"', 'schedule: "s3://acme/visits"') == [
        "~ churn-data",
        '    ~ schedule.kind = "interval" -> "assets"',
        '    ~ schedule.cron = "@daily" -> null',
        '    ~ schedule.assets = [] -> ["s3://acme/visits"]',
        "tasks: 0 added, 0 removed, 0 changed",
    ]


def test_a_dag_that_goes_takes_its_tasks_along(told: Callable[..., list[str]]) -> None:
    lines = told("scoring: {dataset: visits, probation: 0}\n", "")

    assert [line for line in lines if not line.startswith(" ")] == [
        "- churn-score",
        "- churn-score.score",
        "tasks: 0 added, 1 removed, 0 changed",
    ]
    assert '    - dataset = "visits"' in lines


def test_a_task_between_two_is_added_and_the_next_one_waits_for_it(told: Callable[..., list[str]]) -> None:
    lines = told("scoring:", "  approval: {approvers: [risk]}\nscoring:")

    assert [line for line in lines if not line.startswith("    +")] == [
        "+ churn-train.approval",
        "~ churn-train.promote",
        '    ~ upstream = ["register"] -> ["approval"]',
        "tasks: 1 added, 0 removed, 1 changed",
    ]
    assert '    + approvers = ["risk"]  # churn.yaml:8' in lines


def test_what_concerns_the_whole_pipeline_comes_first(told: Callable[..., list[str]]) -> None:
    lines = told("data:\n", "lake: lake\ntags: [growth]\ndata:\n")

    assert lines[:2] == ["~ churn", '    ~ lake = null -> "lake"']
    assert '    ~ tags = ["churn", "mlops"] -> ["churn", "growth", "mlops"]' in lines


def test_options_are_compared_beside_arguments(told: Callable[..., list[str]]) -> None:
    assert told("scoring: {", "scoring: {retries: 3, pool: gpu, ")[:3] == [
        "~ churn-score.score",
        "    ~ retries = null -> 3",
        '    ~ pool = null -> "gpu"',
    ]


def test_json_is_stable_and_tells_what_is_absent_from_what_is_null(planned: Planned) -> None:
    old, new = planned(BASE), planned(BASE.replace("C: 1, kernel: rbf", "kernel: null, tol: null"))
    found = differences_json(old, new)

    assert found == {
        "file": "churn.yaml",
        "against": "churn.yaml",
        "environment": None,
        "differences": [
            {
                "kind": "changed",
                "dag_id": "churn-train",
                "task_id": "train",
                "values": [
                    {"key": "arguments.parameters.kernel", "kind": "changed", "old": "rbf", "new": None,
                     "source": "churn.yaml:7"},
                    {"key": "arguments.parameters.tol", "kind": "added", "new": None, "source": "churn.yaml:7"},
                    {"key": "arguments.parameters.C", "kind": "removed", "old": 1, "source": None},
                ],
            }
        ],
    }  # fmt: skip
    assert json.dumps(found) == json.dumps(differences_json(old, new))


def test_there_and_back_swaps_old_and_new(planned: Planned) -> None:
    old, new = (
        planned(BASE),
        planned(BASE.replace("C: 1", "C: 2").replace("scoring:", "  approval: {approvers: [a]}\nscoring:")),
    )
    swapped = {"added": "removed", "removed": "added", "changed": "changed"}

    there = {(d.dag_id, d.task_id, v.key): (d.kind, v.old, v.new) for d in differences(old, new) for v in d.values}
    back = {(d.dag_id, d.task_id, v.key): (d.kind, v.new, v.old) for d in differences(new, old) for v in d.values}
    assert there == {key: (swapped[kind], *sides) for key, (kind, *sides) in back.items()}
    assert len(there) > 5

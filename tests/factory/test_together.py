from __future__ import annotations

import pytest

from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.factory.together import twin_errors

TRAIN, SCORE = "training: {}\n", "scoring: {}\n"


def said(*texts: str) -> list[str]:
    return [str(error) for error in twin_errors([parse(text, f"{i}.yaml") for i, text in enumerate(texts)])]


def test_two_pipelines_of_one_name_are_said_once() -> None:
    assert said(f"pipeline: a\n{TRAIN}", f"owner: b\npipeline: a\n{TRAIN}{SCORE}", "pipeline: b") == [
        (
            "1.yaml:2:11 pipeline: pipeline 'a' is in 0.yaml:1, too: its DAGs would have the same names; "
            "give this one another name"
        )
    ]


def test_one_model_is_trained_by_one_pipeline() -> None:
    assert said(f"pipeline: a\n{TRAIN}", f"pipeline: b\nmodel: a\n{TRAIN}") == [
        (
            "1.yaml:2:8 model: model 'a' is trained in 0.yaml:1, too: this pipeline would promote over the other's "
            "champion; give it a `model:` of its own"
        )
    ]


def test_one_model_is_scored_by_one_pipeline() -> None:
    (found,) = said(f"pipeline: a\nmodel: m\n{SCORE}", f"pipeline: b\nmodel: m\n{SCORE}")

    assert "model 'm' is scored in 0.yaml:2, too: this pipeline would mix with the other's predictions" in found


def test_one_may_score_or_watch_what_another_trains() -> None:
    assert (
        said(f"pipeline: a\n{TRAIN}", f"pipeline: b\nmodel: a\n{SCORE}", "pipeline: c\nmodel: a\nmonitoring: {}") == []
    )


def test_a_pipelines_own_environments_may_share_its_model() -> None:
    assert said(f"pipeline: a\nmodel: m\n{TRAIN}environments: {{dev: {{model: d}}, prod: {{model: m}}}}\n") == []


@pytest.mark.parametrize(("overlay", "clashes"), [("prod: {model: m}", True), ("prod: {training: null}", False)])
def test_an_environment_may_bring_two_together(overlay: str, clashes: bool) -> None:
    found = said(
        f"pipeline: a\nmodel: m\n{TRAIN}", f"pipeline: b\n{TRAIN}environments:\n  {overlay.replace(': {', ': {', 1)}\n"
    )

    assert [error.split(" ")[0] for error in found] == (["1.yaml:4:17"] if clashes else [])


def test_files_that_are_wrong_otherwise_are_compared_still() -> None:
    assert said("pipeline: 3\ntraining: x\nenvironments: []", "pipeline: 3\nmodel: [x]\ntraining: y") == []
    assert len(said("pipeline: a\nnonsense: x", "pipeline: a\nmodel: [x]\nenvironments: 7")) == 1

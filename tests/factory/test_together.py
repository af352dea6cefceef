from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.factory.together import twin_errors

TRAIN, SCORE = "training: {}\n", "scoring: {}\n"


def said(*texts: str) -> list[str]:
    documents = [(parse(text, f"{i}.yaml"), Path()) for i, text in enumerate(texts)]
    return [str(error) for error in twin_errors(documents)]


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


def test_a_table_is_written_by_one_pipeline_in_a_lake() -> None:
    data = "data: {%s: {visits: {}}, transform: {publish: [rows, visits]}}\n"
    (found,) = said(f"pipeline: a\n{data % 'ingest'}", f"pipeline: b\n{data % 'from'}")

    assert found.startswith(
        "1.yaml:2:50 data.transform.publish[0]: table 'rows' of this lake is written in 0.yaml:2, too: "
    )
    assert said(f"pipeline: a\nlake: a\n{data % 'ingest'}", f"pipeline: b\nlake: b\n{data % 'ingest'}") == []


def test_a_lake_without_an_address_is_its_bundle_s_own() -> None:
    for lake, clashes in (("lake", False), ("s3://acme", True)):
        texts = [f"pipeline: {name}\nlake: {lake}\ndata: {{ingest: {{visits: {{}}}}}}\n" for name in "ab"]
        documents = [(parse(text, f"{i}.yaml"), Path(str(i))) for i, text in enumerate(texts)]
        assert bool(twin_errors(documents)) is clashes


def test_a_lake_is_itself_however_its_folder_is_written() -> None:
    texts = [f"pipeline: {n}\nlake: {lake}\ndata: {{ingest: {{t: {{}}}}}}\n" for n, lake in (("a", "l"), ("b", "./l/"))]
    assert len(said(*texts)) == 1


def test_pipelines_of_a_matrix_meet_those_of_other_files() -> None:
    assert said("pipeline: a_${x}\nmatrix: {x: [b, c]}\n" + TRAIN, f"pipeline: a_c\n{TRAIN}") == [
        (
            "1.yaml:1:11 pipeline: pipeline 'a_c' is in 0.yaml:1, too: its DAGs would have the same names; "
            "give this one another name"
        )
    ]

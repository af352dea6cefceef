from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.contracts.protocol import Message
from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.local import LocalRun, TaskEnd
from airflow_mlops_provider.factory.plan import PipelinePlan

Planned = Callable[..., PipelinePlan]

DATA = """\
pipeline: shop
data:
  start: 2026-01-01
  end: 2026-02-01
  ingest: {visits: {files: "in/{batch}.csv"}}
  validate: {visits: {expectation_suite: full.json, max_failed: 0.4}}
"""
SUITE = {
    "name": "visits",
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "age"}, "severity": "critical"}
    ],
}
GOOD, BAD = "id,age\n1,20\n2,30\n", "id,age\n1,\n2,30\n"


@pytest.fixture
def local(bundle: Path, planned: Planned, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LocalRun]:
    """Return a function that plans a text over files of two days, the second one bad, and gives its local run."""
    monkeypatch.chdir(bundle)
    (bundle / "full.json").write_text(json.dumps(SUITE))
    (bundle / "in").mkdir()
    (bundle / "in" / "2026-01-01.csv").write_text(GOOD)
    (bundle / "in" / "2026-01-02.csv").write_text(BAD)

    def local(text: str) -> LocalRun:
        said: list[tuple[str, Message]] = []
        return LocalRun.of(planned(text), bundle, lambda task, message: said.append((task, message)))

    return local


def ends(run: LocalRun, name: str, **given: str) -> dict[str, TaskEnd]:
    return {end.task_id: end for end in run.run(name, **given)}


def test_a_section_runs_in_order_and_keeps_its_results(local: Callable[..., LocalRun], bundle: Path) -> None:
    found = ends(local(DATA), "data", batch="2026-01-01")

    assert [(end.task_id, end.status) for end in found.values()] == [
        ("ingest", "succeeded"),
        ("validate", "succeeded"),
        ("maintain", "succeeded"),
    ]
    kept = bundle / ".mlops/lake/_outcomes/shop/local__2026-01-01/validate.json"
    assert json.loads(kept.read_text())["result"]["verdict"] == "pass"


def test_a_refused_batch_ends_the_section(local: Callable[..., LocalRun]) -> None:
    found = ends(local(DATA), "data", batch="2026-01-02")

    assert [end.status for end in found.values()] == ["succeeded", "rejected"]
    assert not found["validate"].good


def test_a_failed_task_says_why_and_ends_the_section(local: Callable[..., LocalRun]) -> None:
    found = ends(local(DATA), "data", batch="2026-01-03")

    assert [end.status for end in found.values()] == ["failed"]
    assert "2026-01-03.csv" in found["ingest"].detail


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("data", {}, r"^ingest needs a batch: --batch 2026-01-01$"),
        ("data", {"batch": "2025-12-31"}, r"^batch 2025-12-31 is not in \[2026-01-01, 2026-02-01\)$"),
        ("train", {}, r"^churn.yaml has no 'train'; sections: data; tasks: ingest, validate, maintain$"),
    ],
)
def test_says_what_is_missing(local: Callable[..., LocalRun], name: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ends(local(DATA), name, **given)


TRAINED = """\
pipeline: shop
training:
  dataset: {entities: visits, target: bought}
  train: {estimator: sklearn.svm.SVC}
  evaluate: {holdout: 0.2}
  approval: {approvers: [risk]}
monitoring:
  schedule: "@daily"
  performance: {labels: visits, target: bought, unique_key: [id], event_timestamp: at}
  retrain: {when: {log_loss: {above: 1}}}
"""


def keep(run: LocalRun, run_id: str, **results: object) -> None:
    for task_id, result in results.items():
        folder = Path(run.lake) / "_outcomes" / "shop" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{task_id}.json").write_text(json.dumps({"result": result}))


def test_approval_and_what_was_refused_are_skipped_with_a_line(local: Callable[..., LocalRun]) -> None:
    run = local(TRAINED)
    verdict = {"verdict": "refused", "reason": "log_loss: no gain"}
    keep(run, "r1", train={}, evaluate=verdict, register={"version": "3"})

    assert ends(run, "approval")["approval"].detail == "approval by risk is asked for in Airflow only"
    assert ends(run, "promote")["promote"] == TaskEnd("promote", "r1", "skipped", detail="refused: log_loss: no gain")


def test_no_training_is_started_where_none_was_decided(local: Callable[..., LocalRun]) -> None:
    run = local(TRAINED)
    keep(run, "r1", decide={"decisions": [], "training": None})

    assert ends(run, "start_training")["start_training"].detail == "no decision asks for a training"


def test_a_decided_training_runs_once_under_its_decisions_id(local: Callable[..., LocalRun]) -> None:
    run = local(TRAINED)
    keep(run, "r1", decide={"training": {"id": "shop__2026-01-01", "batch": "2026-01-01"}})

    first = list(run.run("start_training"))
    assert [(end.task_id, end.run_id, end.status) for end in first] == [
        ("start_training", "r1", "succeeded"),
        ("train", "shop__2026-01-01", "failed"),  # there is no table: it was really tried
    ]
    keep(run, "shop__2026-01-01", train={"run_id": "a"})
    keep(run, "r1", decide={"training": {"id": "shop__2026-01-01", "batch": "2026-01-01"}})
    assert [end.task_id for end in run.run("start_training", run_id="r1")] == ["start_training"]


def test_a_task_without_its_inputs_says_which(local: Callable[..., LocalRun]) -> None:
    with pytest.raises(ConfigError, match=r"^no run has the results of evaluate, train: run them first$"):
        ends(local(TRAINED.replace("approval", "#")), "register")


def test_a_remote_lake_keeps_results_in_the_bundle(planned: Planned, bundle: Path) -> None:
    plan = planned(TRAINED, lake="s3://acme")
    run = LocalRun.of(plan, bundle, lambda task, message: None)

    assert run.lake == "s3://acme"
    assert run._outcomes() == bundle / ".mlops" / "_outcomes" / "shop"

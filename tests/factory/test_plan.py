from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.contracts.base import StepSpec
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.plan_data import PipelinePlan, TaskPlan, references
from airflow_mlops_provider.steps.registry import step

Planned = Callable[..., PipelinePlan]

WHOLE = """\
pipeline: churn
owner: growth
timezone: Europe/Berlin
model: churn_model
tags: [growth]
defaults: {retries: 2, retry_delay: 30s, pool: ml}
data:
  schedule: "@monthly"
  start: 2026-01-01
  end: 2027-01-01
  ingest:
    visits: {files: "in/{batch}.csv", unique_key: [id], on_schema_change: reject}
    labels: {python_callable: include.code.visits, unique_key: [id], labels: true}
    plans: {files: plans.csv, reference: true}
  validate: {visits: {expectation_suite: suite.json, max_failed: 0.02}}
  transform: {project_dir: dbt_project, publish: [rows_to_score, labelled], execution_timeout: 1h}
  materialize: {feature_repo: include/features}
training:
  dataset:
    entities: labelled
    target: churned
    event_timestamp: at
    unique_key: [id]
    feature_service: churn_v1
    columns: [age, plan]
    window: 90d
  first_after: 3
  train: {python_callable: include.code.train, parameters: {depth: null}, runs_on: local, pool: gpu}
  evaluate: {holdout: 10d, refit: true, slices: [plan]}
  approval: {approvers: [risk], timeout: 2d}
scoring: {dataset: rows_to_score, event_timestamp: at}
monitoring:
  drift: {page: [plan]}
  performance: {labels: labelled}
  retrain: {when: {calibration_gap: {abs_above: 0.04}}, cooldown: 14d, retries: 0}
notify: {on: [refused, failed], notifier: include.code.Notifier, arguments: {path: alerts.jsonl}}
environments:
  prod: {defaults: {pool: prod}, training: {approval: null}}
"""


def tasks(plan: PipelinePlan, dag_id: str) -> dict[str, TaskPlan]:
    return {task.task_id: task for task in plan.dag(dag_id).tasks}


def test_a_whole_file_makes_four_dags_joined_by_assets(planned: Planned) -> None:
    plan = planned(WHOLE)

    chains = {dag.dag_id: {task.task_id: task.upstream for task in dag.tasks} for dag in plan.dags}
    assert chains == {
        "churn-data": {
            "ingest": (),
            "validate": ("ingest",),
            "transform": ("validate",),
            "materialize": ("transform",),
            "maintain": ("materialize",),
        },
        "churn-score": {"score": ()},
        "churn-monitor": {
            "drift": (),
            "performance": (),
            "rollback": ("drift", "performance"),
            "decide": ("rollback",),
            "start_training": ("decide",),
        },
        "churn-train": {
            "train": (),
            "evaluate": ("train",),
            "register": ("evaluate",),
            "approval": ("register",),
            "promote": ("approval",),
        },
    }
    emitted = {task.task_id: task.outlets for dag in plan.dags for task in dag.tasks if task.outlets}
    assert emitted == {
        "materialize": ("mlops://churn/data",),
        "score": ("mlops://churn/score",),
        "decide": ("mlops://churn/monitor",),
    }
    schedules = [(dag.schedule.kind, dag.schedule.assets, dag.schedule.reconcile) for dag in plan.dags]
    assert schedules == [
        ("interval", (), None),
        ("assets", ("mlops://churn/data",), "@daily"),
        ("assets", ("mlops://churn/score",), "@daily"),
        ("none", (), None),
    ]


def test_sections_fill_in_what_others_say_already(planned: Planned) -> None:
    plan = planned(WHOLE)

    score = tasks(plan, "churn-score")["score"].arguments
    assert score == {
        "dataset": "rows_to_score",
        "event_timestamp": "at",  # its own word goes over training.dataset's
        "feature_service": "churn_v1",
        "model": "churn_model",
        "unique_key": ["id"],
    }
    monitor = tasks(plan, "churn-monitor")
    assert monitor["performance"].arguments == {
        "event_timestamp": "at",
        "labels": "labelled",
        "model": "churn_model",
        "target": "churned",
        "timezone": "Europe/Berlin",
        "unique_key": ["id"],
    }
    assert monitor["decide"].arguments["retrain"] == {
        "when": {"calibration_gap": {"abs_above": 0.04}},
        "cooldown": "P14D",
        "first_after": 3,
    }
    validate = tasks(plan, "churn-data")["validate"].arguments
    assert validate["publish"] == ["visits", "labels"]
    assert validate["unique_keys"] == {"visits": ["id"], "labels": ["id"]}
    assert validate["on_schema_change"] == {"visits": "reject"}
    train = tasks(plan, "churn-train")
    assert train["train"].arguments["holdout"] == "P10D"
    assert train["train"].arguments["parameters"] == {"depth": None}
    assert train["evaluate"].arguments["gates"] == {"log_loss": {"vs_champion": "better", "alpha": 0.1}}
    assert "holdout" not in train["evaluate"].arguments


def test_a_tasks_own_options_go_over_the_defaults(planned: Planned) -> None:
    plan = planned(WHOLE)

    transform = tasks(plan, "churn-data")["transform"]
    assert (transform.retries, transform.retry_delay_s, transform.execution_timeout_s) == (2, 30.0, 3600.0)
    assert (transform.pool, tasks(plan, "churn-train")["train"].pool) == ("ml", "gpu")
    assert tasks(plan, "churn-monitor")["decide"].retries == 0


def test_an_environment_lies_over_the_file_and_provenance_tells_it(planned: Planned) -> None:
    plan = planned(WHOLE, environment="prod")

    train = tasks(plan, "churn-train")
    assert (train["promote"].upstream, train["promote"].pool) == (("register",), "prod")
    score = tasks(plan, "churn-score")["score"]
    assert str(score.provenance["dataset"]) == "churn.yaml:31"
    assert str(score.provenance["unique_key"]) == "churn.yaml:23"
    assert str(train["evaluate"].provenance["gates"]) == "default"
    with_lake = planned(WHOLE.replace("{defaults:", "{model: other, defaults:"), environment="prod")
    assert str(tasks(with_lake, "churn-score")["score"].provenance["model"]) == "churn.yaml:38 (prod)"


def test_every_argument_is_one_of_its_steps_and_its_operators(planned: Planned) -> None:
    for dag in planned(WHOLE).dags:
        for task in dag.tasks:
            if task.task_id == "approval":
                continue
            module, _, name = task.operator.rpartition(".")
            operator = getattr(import_module(module), name)
            assert set(task.arguments) <= _parameters(operator), task.task_id
            if task.step is not None:
                assert operator.step == task.step
                assert set(task.arguments) <= set(step(task.step).spec.model_fields)


def test_every_steps_spec_takes_its_arguments(planned: Planned) -> None:
    batch = {"id": "2026-01-01", "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    for dag in planned(WHOLE).dags:
        for task in dag.tasks:
            if task.step is None:
                continue
            spec = step(task.step).spec
            known = {"pipeline": "churn", "lake": "lake"} | ({"batch": batch} if "batch" in spec.model_fields else {})
            # Other tasks' results are there only when it runs.
            late = {key for key, value in task.arguments.items() if list(references(value))}
            assert _faulty(spec, {**known, **task.arguments}) <= late, task.task_id


def _faulty(spec: type[StepSpec], data: dict[str, Any]) -> set[str]:
    try:
        spec.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as exc:
        return {str(fault["loc"][0]) for fault in exc.errors()}
    return set()


def _parameters(operator: Any) -> set[str]:
    return {name for cls in operator.__mro__ for name in getattr(cls.__init__, "__annotations__", {})}


def test_references_name_tasks_that_come_before(planned: Planned) -> None:
    for dag in planned(WHOLE).dags:
        before: set[str] = set()
        for task in dag.tasks:
            assert {ref.partition(".")[0] for ref in references(task.arguments)} <= before
            assert set(task.upstream) <= before
            before.add(task.task_id)


def test_nothing_serialized_knows_a_line(planned: Planned) -> None:
    plan, moved = planned(WHOLE), planned("# a comment\n\n" + WHOLE)

    assert plan.as_json() == moved.as_json()
    assert plan.as_json(provenance=True) != moved.as_json(provenance=True)
    assert json.dumps(plan.as_json()) == json.dumps(planned(WHOLE).as_json())


def test_a_plan_comes_back_from_its_json(planned: Planned) -> None:
    plan = planned(WHOLE)

    assert PipelinePlan.from_json(json.loads(json.dumps(plan.as_json()))) == plan
    assert PipelinePlan.from_json(plan.as_json(provenance=True)) == plan


def test_the_smallest_file_makes_data_and_training(planned: Planned) -> None:
    plan = planned(
        """\
        pipeline: churn
        data: {ingest: {visits: {files: in.csv, unique_key: [id]}}}
        training: {dataset: {target: churned}, train: {estimator: sklearn.svm.SVC}}
        """
    )

    assert [dag.dag_id for dag in plan.dags] == ["churn-data", "churn-train"]
    assert [task.task_id for task in plan.dags[0].tasks] == ["ingest", "maintain"]
    ingest, train = plan.dags[0].tasks[0], plan.dags[1].tasks[0]
    assert "publish" not in ingest.arguments
    assert ingest.outlets == ("mlops://churn/data",)
    assert train.arguments["dataset"] == {"target": "churned", "entities": "visits", "unique_key": ["id"]}
    assert plan.model == "churn"


def test_data_from_another_pipeline_wakes_by_its_asset(planned: Planned) -> None:
    plan = planned("pipeline: b\ndata: {from: a}\nscoring: {dataset: rows, probation: 0}\n"
                   "monitoring: {drift: {}}\n")  # fmt: skip

    assert [dag.dag_id for dag in plan.dags] == ["b-score", "b-monitor"]
    assert plan.dags[0].schedule.assets == ("mlops://a/data",)
    assert plan.dags[1].tasks[0].outlets == ("mlops://b/monitor",)


ALONE = "pipeline: b\nmonitoring: {%s, drift: {current: {kind: sql, name: visits, conn_id: shop}}}\n"


def test_monitoring_alone_watches_without_deciding_or_rolling_back(planned: Planned) -> None:
    plan = planned(ALONE % 'schedule: "@daily"', allowed_connections=("shop",))

    (dag,) = plan.dags
    assert [(task.task_id, task.inlets) for task in dag.tasks] == [("drift", ())]
    assert dag.tasks[0].arguments == {"current": {"kind": "sql", "name": "visits", "conn_id": "shop"}, "model": "b"}
    assert (dag.schedule.kind, dag.schedule.cron, dag.schedule.assets) == ("interval", "@daily", ())


def test_monitoring_alone_is_woken_by_somebody_elses_asset(planned: Planned) -> None:
    text = ALONE % "schedule: 's3://acme/visits', reconcile: '@weekly'"
    (dag,) = planned(text, allowed_connections=("*",)).dags

    assert (dag.schedule.kind, dag.schedule.assets, dag.schedule.reconcile) == (
        "assets",
        ("s3://acme/visits",),
        "@weekly",
    )
    assert dag.tasks[0].inlets == ("s3://acme/visits",)


def test_a_decision_needs_labels(planned: Planned) -> None:
    text = "pipeline: b\nscoring: {dataset: rows}\nmonitoring:\n  drift: {}\n  retrain: {}\n"

    with pytest.raises(PipelineFileError) as caught:
        planned(text)
    assert str(caught.value) == (
        "churn.yaml:5:3 monitoring.retrain: no labels to decide by: give monitoring.performance.labels or "
        "training.dataset"
    )


def test_an_asset_may_be_the_schedule(planned: Planned) -> None:
    (dag,) = planned("pipeline: b\ndata: {schedule: 's3://acme/landed', ingest: {a: {files: a.csv}}}").dags

    assert (dag.schedule.kind, dag.schedule.assets) == ("assets", ("s3://acme/landed",))


def test_the_files_lake_goes_over_the_configured_one(planned: Planned) -> None:
    text = "pipeline: b\ndata: {ingest: {a: {files: a.csv}}}\n"

    assert planned(text).lake is None
    assert planned(text, lake="lake").lake == "lake"
    assert planned(text + "lake: own\n", lake="lake").lake == "own"


def test_a_file_is_named_the_same_wherever_the_bundle_lies(planned: Planned, bundle: Path) -> None:
    plan = planned(WHOLE)

    assert plan.file == "churn.yaml"
    assert str(bundle) not in json.dumps(plan.as_json(provenance=True))


def test_equality_does_not_look_at_lines(planned: Planned) -> None:
    task = planned(WHOLE).dags[0].tasks[0]

    assert replace(task, provenance={}) == task


@pytest.mark.parametrize("name", ["churn-nothing", "churn"])
def test_an_unknown_dag_names_those_there_are(planned: Planned, name: str) -> None:
    with pytest.raises(Exception, match="it makes churn-data, churn-score, churn-monitor, churn-train"):
        planned(WHOLE).dag(name)

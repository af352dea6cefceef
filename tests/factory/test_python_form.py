"""`Pipeline(...)` in Python is the same pipeline as its file: same plan, same checks, same DAGs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.ingest import Source
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.factory.models import Data, Monitoring
from airflow_mlops_provider.factory.options import RunsOn, TaskOptions
from airflow_mlops_provider.factory.plan import plan
from airflow_mlops_provider.factory.plan_data import PipelinePlan
from airflow_mlops_provider.factory.python import Pipeline
from airflow_mlops_provider.factory.sections import Drift, Performance, Retrain
from airflow_mlops_provider.factory.shapes import duration

REPO = Path(__file__).parents[2]
WORDS: dict[str, Any] = {
    "pipeline": "churn",
    "data": {"ingest": {"visits": {"files": "in/{batch}.csv"}}},
    "training": {"dataset": {"target": "churned"}, "train": {"estimator": "sklearn.svm.SVC"}},
}
CONFIG = FactoryConfig(allowed_interpreters=("/opt/tools/bin/python",))


def same(python: PipelinePlan, file: PipelinePlan) -> bool:
    """Return whether two plans differ in nothing but what they are called."""
    return python.as_json() | {"file": ""} == file.as_json() | {"file": ""}


@pytest.mark.parametrize("environment", [None, "compose"])
def test_the_plan_of_the_words_is_the_plan_of_the_file(environment: str | None) -> None:
    file = REPO / "dags" / "flights.yaml"
    words = parse(file.read_text(), "flights.yaml").data
    config = FactoryConfig(environment=environment, allowed_interpreters=CONFIG.allowed_interpreters)
    (found,) = Pipeline(**words).plans("flights.py", bundle=REPO, config=config)

    assert same(found, plan(file, bundle=REPO, environment=environment, config=config))
    assert str(found.dags[0].tasks[0].provenance["datasets"]) == "flights.py"


def test_models_say_the_same_as_words(tmp_path: Path) -> None:
    models = Pipeline(
        pipeline="churn",
        defaults=TaskOptions(runs_on=RunsOn(), retry_delay=timedelta(minutes=90), execution_timeout=timedelta(days=14)),
        data=Data(start=date(2026, 1, 31), ingest={"visits": Source(files="in/{batch}.csv", unique_key=("id",))}),
        monitoring=Monitoring(
            drift=Drift(current={"name": "visits"}),
            retrain=Retrain(cooldown=timedelta(hours=36), when={"log_loss": {"above": 1}}),
            performance=Performance(
                labels="visits", target="a", unique_key=("id",), event_timestamp="b", metrics=("log_loss",)
            ),
        ),
    )
    (tmp_path / "churn.yaml").write_text("""\
pipeline: churn
defaults: {runs_on: local, retry_delay: 90m, execution_timeout: 14d}
data: {start: 2026-01-31, ingest: {visits: {files: "in/{batch}.csv", unique_key: [id]}}}
monitoring:
  drift: {current: {name: visits}}
  performance: {labels: visits, target: a, unique_key: [id], event_timestamp: b, metrics: [log_loss]}
  retrain: {when: {log_loss: {above: 1.0}}, cooldown: 36h}
""")
    (found,) = models.plans(bundle=tmp_path, config=CONFIG)

    assert same(found, plan(tmp_path / "churn.yaml", bundle=tmp_path, config=CONFIG))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"dataset": {"target": "c"}, "train": {"estimator": "os.system"}}},
         "churn.py: training.train.estimator: no file os.py in the bundle, and 'os' is not under"),
        ({"retires": 3}, "churn.py: unknown key 'retires'. Known: alias, "),
        ({"data": {"ingest": {"visits": {"flies": "a"}}}},
         "churn.py: data.ingest.visits: unknown key 'flies'. Did you mean 'files'?"),
        ({"defaults": {"retries": "3"}}, "churn.py: defaults.retries: a whole number is wanted, not '3'"),
        ({"owner": object()}, "churn.py: owner: a plain value is wanted, such as a file may hold, not object"),
        ({"notify": {"notifier": "a.B", "arguments": {"x": float("inf")}}},
         "churn.py: notify.arguments.x: a plain value"),
        ({"tags": {"a"}}, "churn.py: tags: a plain value is wanted, such as a file may hold, not set"),
        ({"data": {1: 2}}, "churn.py: data: a plain value is wanted, such as a file may hold, not dict"),
        ({"extends": "base.yaml"}, "churn.py: extends: is a file's alone: in Python, hand the same dict to several"),
        ({"owner": "${team}"}, "churn.py: owner: no parameter 'team'"),
        ({"scoring": {"dataset": "{{ conn.x }}"}}, "churn.py: scoring.dataset: template '{{ conn.x }}' is not allowed"),
        ({"defaults": {"retry_delay": timedelta(seconds=1.5)}},
         "churn.py: defaults.retry_delay: a duration such as 15m"),
    ],
)  # fmt: skip
def test_an_error_names_the_key_where_a_file_s_names_the_line(tmp_path: Path, changes: Any, said: str) -> None:
    with pytest.raises(PipelineFileError) as caught:
        Pipeline(**{**WORDS, **changes}).plans("churn.py", bundle=tmp_path, config=CONFIG)

    assert any(line.startswith(said) for line in str(caught.value).splitlines()), str(caught.value)


def test_a_value_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["more"] = endless
    with pytest.raises(PipelineFileError, match="more than 20000 values or 40 levels"):
        Pipeline(**WORDS, notify=endless).plans(bundle=tmp_path, config=CONFIG)


def test_a_matrix_makes_several_here_too(tmp_path: Path) -> None:
    words = {**WORDS, "pipeline": "churn_${country:lower}", "matrix": {"country": ["SE", "NO"]}, "lake": "${country}"}

    assert [one.pipeline for one in Pipeline(**words).plans(bundle=tmp_path, config=CONFIG)] == ["churn_se", "churn_no"]
    assert [one.lake for one in Pipeline(**words).plans(bundle=tmp_path, config=CONFIG, only="churn_no")] == ["NO"]


@given(
    st.timedeltas(timedelta(seconds=1), timedelta(days=9_000)).map(
        lambda found: timedelta(seconds=int(found.total_seconds()))
    )
)
def test_a_duration_is_said_in_the_file_s_own_words(found: timedelta) -> None:
    from airflow_mlops_provider.factory.python import _duration

    said = duration(_duration(found))
    assert said == found or (said is None and found > timedelta(seconds=999_999))


LOADER = """
from airflow_mlops_provider.factory.python import Pipeline

COUNTRIES = {"SE": 1, "NO": 2}
for country, retries in COUNTRIES.items():
    made = Pipeline(
        pipeline=f"churn_{country.lower()}",
        lake=f"lake/{country}",
        defaults={"retries": retries},
        data={"ingest": {"visits": {"files": "in/{batch}.csv"}}},
        training={"dataset": {"target": "churned"}, "train": {"estimator": "sklearn.svm.SVC"}},
    )
    globals().update(made.dags(__file__))
"""


def test_airflow_builds_the_same_dags_as_of_a_file(dags: Path, read_dags: Callable[[], Any]) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    file = "from airflow_mlops_provider.factory.build import build_dags\n\nglobals().update(build_dags(__file__))\n"
    (dags / "several.py").write_text(LOADER)
    (dags / "one.py").write_text(file)
    text = json.dumps({**WORDS, "pipeline": "churn_dk", "lake": "lake/DK", "defaults": {"retries": 2}})
    (dags / "one.yaml").write_text(text)
    bag = read_dags()
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted(f"churn_{c}-{dag}" for c in ("dk", "no", "se") for dag in ("data", "train"))

    def serialized(dag_id: str) -> str:
        found = json.dumps(DagSerialization.to_dict(bag.dags[dag_id]), sort_keys=True, default=str)
        return found.replace("several.py", "one.py")

    assert serialized("churn_no-train").replace("churn_no", "churn_dk").replace("lake/NO", "lake/DK") == serialized(
        "churn_dk-train"
    )
    # Read again, from the plans that were kept.
    assert sorted(read_dags().dags) == sorted(bag.dags)


def test_what_only_airflow_finds_wrong_names_the_key(
    dags: Path, read_dags: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = {"operator": "airflow.providers.standard.operators.bash.BashOperator", "arguments": {"bash_comand": "a"}}
    words = {**WORDS, "tasks": {"mine": {**task, "before": "train"}}}
    (dags / "wrong.py").write_text(
        "from airflow_mlops_provider.factory.python import Pipeline  # makes a dag of airflow\n\n"
        f"globals().update(Pipeline(**{words!r}).dags(__file__))\n"
    )
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_MODULES", "airflow.providers.standard")
    (said,) = read_dags().import_errors.values()

    assert "wrong.py: tasks.mine.arguments.bash_comand: BashOperator takes no 'bash_comand'. Did you mean" in said

"""`airflow-mlops test`: the DAGs of a CSV pipeline run once, and nothing of the user's own is touched."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from airflow_mlops_provider.exceptions import ConfigError, MissingExtraError
from airflow_mlops_provider.factory import trial
from airflow_mlops_provider.factory.config import FactoryConfig
from airflow_mlops_provider.factory.plan import plan
from airflow_mlops_provider.factory.trial_lines import line_of
from airflow_mlops_provider.factory.trial_runs import check_runnable, runs_of

HOUSES = """
    pipeline: houses
    lake: s3://acme/lake
    data:
      schedule: "@daily"
      start: 2026-01-01
      ingest: {houses: {files: "in/{batch}.csv", unique_key: [id], csv: {delimiter: ";", decimal_point: ","}}}
    training:
      dataset: {target: price}
      train: {estimator: sklearn.linear_model.Ridge}
      evaluate: {holdout: 0.2, primary_metric: rmse}
      approval: {approvers: [risk]}
      first_after: 1
    scoring: {dataset: houses}
    monitoring:
      drift: {}
      performance: {metrics: [rmse, rmse_ratio]}
      retrain: {when: {rmse_ratio: {above: 1.2, alpha: 0.01}}}
    notify: {notifier: include.alerts.Alert}
    tasks:
      publish:
        operator: airflow.providers.standard.operators.bash.BashOperator
        arguments: {bash_command: "touch PLACE/published"}
        after: score
"""
ALERTS = """
    from airflow.sdk import BaseNotifier

    class Alert(BaseNotifier):
        def notify(self, context):
            raise AssertionError("a trial tells nobody")
"""


def houses(folder: Path, text: str = HOUSES, *, batches: int = 2) -> Path:
    """Write a bundle with the pipeline and `batches` days of rows."""
    (folder / "in").mkdir()
    (folder / "include").mkdir()
    (folder / "include" / "__init__.py").write_text("")
    (folder / "include" / "alerts.py").write_text(dedent(ALERTS))
    draw = random.Random(1)
    for day in range(1, batches + 1):
        rows = [(f"{day}-{i}", draw.gauss(0, 1), draw.gauss(0, 1)) for i in range(200)]
        lines = [f"{id_};{size:.3f};{3 * size + noise:.3f}".replace(".", ",") for id_, size, noise in rows]
        (folder / "in" / f"2026-01-0{day}.csv").write_text("\n".join(["id;size;price", *lines, ""]))
    (folder / "houses.yaml").write_text(dedent(text).replace("PLACE", str(folder)))
    return folder / "houses.yaml"


def planned(folder: Path, text: str = HOUSES, **kwargs: int):
    config = FactoryConfig(
        allowed_modules=("airflow.providers.standard",), allowed_roots=("s3://acme",), allowed_images=("acme/",)
    )
    return plan(houses(folder, text, **kwargs), bundle=folder, config=config)


def tried(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process, as a user whose Airflow has settings of its own."""
    home = folder.parent / "airflow"
    home.mkdir(exist_ok=True)
    settings = "[mlops]\nallowed_modules = airflow.providers.standard\nallowed_roots = s3://acme\n"
    (home / "airflow.cfg").write_text(settings)
    # Not the tests' own: its database would do.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    command = [sys.executable, "-m", "airflow_mlops_provider", "test", str(folder / "houses.yaml"), *arguments]
    environment = {**clean, "AIRFLOW_HOME": str(home), **environ}
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_a_csv_pipeline_lives_once_in_less_than_a_minute(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    houses(bundle)
    before = sorted(bundle.rglob("*"))
    before_s = cpu_seconds()
    done = tried(bundle, "--keep", str(tmp_path / "kept"), MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (0, "")
    # Of a processor: tests beside this one share them. On an idle machine it is the time that a person waits.
    assert cpu_seconds() - before_s < 45
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    headers = [line for line in lines[1:] if line.startswith("houses-")]
    assert headers == [
        "houses-data, batch 2026-01-01",
        "houses-train",
        "houses-data, batch 2026-01-02",
        "houses-score",
        "houses-monitor",
    ]
    told = {line.split()[0]: line for line in lines}
    assert told["ingest"].endswith("houses: 200 rows")
    assert "accepted: rmse" in told["evaluate"]
    assert told["approval"] == "approval success answered yes: a trial asks nobody"
    assert told["promote"].endswith("version 1 is champion")
    assert told["score"].endswith("2026-01-02: 200 predictions by version 1")
    assert told["publish"] == "publish success not run: an operator of your own"
    assert "2026-01-02: rmse" in told["performance"]
    assert "2026-01-02: none: rmse_ratio" in told["decide"]
    assert lines[-1].startswith("all well: 16 tasks in ")
    # Nothing of the user's: neither their folder, nor their Airflow, nor the lake that the file names.
    assert [path for path in sorted(bundle.rglob("*")) if "__pycache__" not in path.parts] == before
    assert sorted(path.name for path in (tmp_path / "airflow").iterdir()) == ["airflow.cfg"]
    assert (tmp_path / "kept" / "lake" / "predictions").is_dir()


@pytest.mark.slow
def test_a_task_that_fails_ends_it_with_its_error(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    houses(bundle, HOUSES.replace('csv: {delimiter: ";", decimal_point: ","}', 'csv: {delimiter: "|"}'))
    done = tried(bundle, TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "its first line has no '|' but ';': say `csv: {delimiter: \";\"}`" in done.stdout
    assert "maintain       upstream_failed" in done.stdout
    assert "houses-train" not in done.stdout
    assert done.stdout.splitlines()[-1] == "with --keep DIR all that was said stays in DIR/log.txt"
    # The temporary folder is gone.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["airflow", "bundle"]


def test_data_until_the_first_training_then_one_batch_more(tmp_path):
    runs = runs_of(planned(tmp_path, HOUSES.replace("first_after: 1", "first_after: 2"), batches=4), tmp_path)
    assert [(run.section, run.batch) for run in runs] == [
        ("data", "2026-01-01"),
        ("data", "2026-01-02"),
        ("training", None),
        ("data", "2026-01-03"),
        ("scoring", None),
        ("monitoring", None),
    ]
    assert runs[0].logical_date == "2026-01-01T00:00:00+00:00"
    assert not any(run.note for run in runs)


def test_without_more_data_the_rest_runs_and_says_so(tmp_path):
    runs = runs_of(planned(tmp_path, HOUSES.replace("first_after: 1", "first_after: 3"), batches=2), tmp_path)
    assert [run.section for run in runs] == ["data", "data", "training", "scoring", "monitoring"]
    assert runs[2].note == "2 batches of the 3 that first_after asks for"
    assert runs[3].note == runs[4].note == "no batch after 2026-01-02: no data that the model has not seen"


def test_an_end_of_the_data_is_an_end(tmp_path):
    text = HOUSES.replace("start: 2026-01-01", "start: 2026-01-01\n      end: 2026-01-02")
    assert [run.batch for run in runs_of(planned(tmp_path, text), tmp_path) if run.batch] == ["2026-01-01"]


def test_without_a_start_the_last_batches_that_are_over(tmp_path):
    text = HOUSES.replace("      start: 2026-01-01\n", "").replace("in/{batch}.csv", "in/*.csv")
    first, second = [run.batch for run in runs_of(planned(tmp_path, text), tmp_path) if run.batch]
    assert str(first) < str(second)


def test_a_batch_that_is_not_over_cannot_be_tried(tmp_path):
    with pytest.raises(ConfigError, match=r"houses\.yaml cannot be tried here: no batch since data\.start is over yet"):
        runs_of(planned(tmp_path, HOUSES.replace("2026-01-01", "2999-01-01")), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "Ridge}",
            "Ridge, runs_on: {kubernetes: {image: acme/train:1}}}",
            "training.train runs in a pod; --environment may name one where it does not",
        ),
        (
            'schedule: "@daily"',
            "schedule: mlops://shop/data",
            "its batches are those of whoever emits mlops://shop/data",
        ),
        ("in/{batch}", "in/{batch}", None),
    ],
)
def test_what_cannot_be_tried_is_said_before(tmp_path, old, new, says):
    found = planned(tmp_path, HOUSES.replace(old, new).replace("lake: s3://acme/lake", ""))
    if says is None:
        check_runnable(found, tmp_path)
        return
    with pytest.raises(ConfigError, match=f"houses.yaml cannot be tried here: {says}"):
        check_runnable(found, tmp_path)


@pytest.mark.parametrize(("store", "refused"), [("${MLOPS_LAKE}/online.db", False), ("redis:6379", True)])
def test_features_go_to_the_trials_own_store_alone(tmp_path, store, refused):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "feature_store.yaml").write_text(
        f"project: a\nregistry: ${{MLOPS_LAKE}}/registry.db\nonline_store: {{path: '{store}'}}\n"
    )
    text = HOUSES.replace("    training:\n", "      materialize: {feature_repo: features}\n    training:\n")
    found = planned(tmp_path, text)
    if not refused:
        check_runnable(found, tmp_path)
        return
    with pytest.raises(ConfigError, match=r"online_store of features/feature_store\.yaml lies outside the lake"):
        check_runnable(found, tmp_path)


@pytest.mark.parametrize(
    ("output", "refused"),
    [
        ("{type: duckdb, path: \"{{ env_var('MLOPS_WAREHOUSE') }}\"}", False),
        ("{type: duckdb, path: warehouse.duckdb}", True),
        ("{type: duckdb, path: \"{{ env_var('MLOPS_WAREHOUSE') }}\", attach: [{path: shop.duckdb}]}", True),
        ("{type: postgres, host: warehouse}", True),
    ],
)
def test_dbt_builds_in_the_trials_own_warehouse_alone(tmp_path, output, refused):
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "profiles.yml").write_text(f"shop: {{target: prod, outputs: {{prod: {output}}}}}\n")
    found = planned(tmp_path, HOUSES.replace("    training:\n", "      transform: {project_dir: dbt}\n    training:\n"))
    if not refused:
        check_runnable(found, tmp_path)
        return
    with pytest.raises(ConfigError, match=r"target 'prod' of dbt/profiles\.yml is not MLOPS_WAREHOUSE alone"):
        check_runnable(found, tmp_path)


@pytest.mark.parametrize("said", ["", "- a list", "a: [", "project: a\nonline_store: {path: ${MLOPS_LAKE}/o.db}"])
def test_settings_of_a_tool_that_are_none_are_an_error_and_no_trace(tmp_path, said):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "feature_store.yaml").write_text(said)
    text = HOUSES.replace("    training:\n", "      materialize: {feature_repo: features}\n    training:\n")
    found = planned(tmp_path, text)
    if "project" in said:
        check_runnable(found, tmp_path)
        return
    with pytest.raises(ConfigError, match=r"feature_store\.yaml"):
        check_runnable(found, tmp_path)


def test_a_pattern_of_fsspecs_own_is_left_to_the_run(tmp_path):
    found = planned(tmp_path, HOUSES.replace("in/{batch}.csv", "in/**{batch}.csv"))
    assert runs_of(found, tmp_path)


def test_an_airflow_cfg_that_is_none_is_an_error(tmp_path):
    (tmp_path / "airflow.cfg").write_text("lake = x\n")
    with pytest.raises(ConfigError, match=r"airflow\.cfg: File contains no section headers"):
        trial._settings({"AIRFLOW_HOME": str(tmp_path)})


def test_without_airflow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"'airflow' is not installed here: .*\[airflow\]"):
        trial.trial(houses(tmp_path), bundle=tmp_path)


def test_a_folder_that_holds_something_is_not_kept_in(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_MODULES", "airflow.providers.standard")
    monkeypatch.setenv("AIRFLOW__MLOPS__ALLOWED_ROOTS", "s3://acme")
    with pytest.raises(ConfigError, match="is no empty folder: a trial begins with an empty lake"):
        trial.trial(houses(tmp_path), bundle=tmp_path, keep=tmp_path)
    with pytest.raises(ConfigError, match="is no empty folder"):
        trial.trial(tmp_path / "houses.yaml", bundle=tmp_path, keep=tmp_path / "houses.yaml")


def test_what_leads_to_the_users_own_is_not_handed_on(tmp_path, monkeypatch):
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__SECRETS__BACKEND", "AIRFLOW_CONN_LAKE_DEFAULT"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "sqlite://")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://theirs")
    monkeypatch.setenv("DBT_TARGET", "theirs")
    config = FactoryConfig(lake="s3://theirs", allowed_connections=("shop", "other"))
    given = trial._environment(tmp_path, config, planned(tmp_path))
    assert "theirs" not in json.dumps(given)
    assert given["AIRFLOW_CONN_SHOP"] == "sqlite://"
    assert given["AIRFLOW__MLOPS__ALLOWED_CONNECTIONS"] == "shop,other"


@pytest.mark.parametrize(
    ("task", "result", "says"),
    [
        ("transform", {"nodes": [1, 2], "rows": {"visits": 1200}}, "2 nodes; visits: 1,200 rows"),
        ("score", {"batches": [], "no_champion": ["2026-01-01"]}, "no champion for 2026-01-01"),
        ("score", {"batches": [], "no_champion": []}, "nothing new to score"),
        ("drift", {"batches": [], "no_champion": ["2026-01-01"]}, "no champion yet"),
        ("decide", {"decisions": []}, "nothing to decide on"),
        ("start_training", None, ""),
        ("mine", {"anything": 1}, ""),
    ],
)
def test_a_result_is_one_line(task, result, says):
    assert line_of(task, result) == says

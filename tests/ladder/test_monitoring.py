"""Rung 5: a model that was made elsewhere, adopted by the command, watched by a file with monitoring alone."""

from __future__ import annotations

import shlex

import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.cli import main
from airflow_mlops_provider.factory.adopt import dataset_of_text
from airflow_mlops_provider.factory.check import lint
from airflow_mlops_provider.factory.config import FactoryConfig
from tests.ladder.pages import blocks, visits

PAGE = blocks("5-monitoring.md")
FILES = {title: text for title, text in PAGE.items() if title != "adopt"}
COMMAND = shlex.split(PAGE["adopt"])[1:]
THEN = visits(40, seed=1)


@pytest.fixture
def registered(site, mlflow_client):
    """Return the site with the reference, and a model of whole numbers, text and floats in MLflow's registry."""
    import mlflow
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = THEN.to_pandas()
    x = rows[["age", "plan", "spend"]]
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    mlflow.set_experiment("churn")
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(x, rows["churned"]),
            name="model",
            input_example=x.head(),
            pyfunc_predict_fn="predict_proba",
        )
    mlflow.register_model(logged.model_uri, "churn")
    mlflow_client.set_registered_model_alias("churn", "champion", "1")
    site.lake.write_once("visits_2024", THEN, app="then")
    return site


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "drifted"), [(2.0, ["spend"]), (0.0, [])])
def test_the_page_watches_a_model_that_exists(registered, capsys, shift, drifted):
    assert main(COMMAND) == 0
    said = "churn version 1 is champion: profile of 2,400 rows, columns age, plan, spend, prediction\n"
    assert capsys.readouterr().out.endswith(said)

    registered.lake.write_once("visits", visits(8, seed=2, shift=shift), app="now")
    registered.put(FILES)
    assert registered.ids() == {"warehouse_load", "churn-monitor"}
    run = registered.run("churn-monitor")
    assert run.tasks == {"drift": "success"}
    (found,) = run.results["drift"]["batches"]
    assert (found["drifted"], found["paged"]) == (drifted, drifted)
    assert {column["column"] for column in found["columns"]} == {"age", "plan", "spend"}


@pytest.mark.slow
def test_predictions_beside_the_rows_are_compared_too(registered, tmp_path):
    pq.write_table(THEN, tmp_path / "then.parquet")
    assert main([*COMMAND, "--reference", f"parquet:{tmp_path}/then.parquet", "--version", "1"]) == 0
    now = visits(8, seed=2)
    registered.lake.write_once("visits", now.append_column("prediction", now["spend"]), app="now")
    registered.put(FILES)
    (found,) = registered.run("churn-monitor").results["drift"]["batches"]
    assert found["drifted"] == ["prediction"]


def test_what_is_not_registered_is_not_adopted(site, mlflow_client, capsys):
    site.lake.write_once("visits_2024", THEN, app="then")
    assert main(COMMAND) == 1
    assert "model 'churn' has no alias 'champion'; name one with --version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("visits", {"kind": "delta", "name": "visits"}),
        ("parquet:s3://acme/*.parquet", {"kind": "parquet", "name": "s3://acme/*.parquet"}),
        ("sql:dwh:select * from a", {"kind": "sql", "conn_id": "dwh", "name": "select * from a"}),
    ],
)
def test_a_dataset_is_named_in_one_word(text, fields):
    assert dataset_of_text(text).model_dump(exclude_none=True) == fields


@pytest.mark.parametrize("text", ["sql:dwh", "parquet:", "csv:a.csv"])
def test_a_word_that_names_no_dataset_says_so(site, mlflow_client, capsys, text):
    assert main(["adopt", "churn", "--reference", text]) == 1
    assert f"{text!r} names no dataset: write TABLE, parquet:PATH or sql:" in capsys.readouterr().err


def test_the_page_is_sound_and_what_it_leaves_out_is_said(site):
    site.put(FILES)
    path = site.dags / "churn.yaml"
    assert lint(path, bundle=site.dags, config=FactoryConfig()) == []
    path.write_text(
        FILES["dags/churn.yaml"].replace('  schedule: "@daily"\n', "").replace("current: {name: visits}", "")
    )
    said = [error.message for error in lint(path, bundle=site.dags, config=FactoryConfig())]
    assert said == [
        "'schedule' is missing: without data and scoring nothing wakes it",
        "nothing is watched: give `current: {name: TABLE}`, or a section scoring",
    ]

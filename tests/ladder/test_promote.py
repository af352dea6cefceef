"""Rung 3: the judge and the promotion around a training task of one's own."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.steps.promotions import PromotionLedger
from tests.ladder.pages import blocks, visits

PAGE = blocks("3-promote.md")
pytestmark = pytest.mark.slow


def versions(client) -> list[str]:
    return sorted(str(v.version) for v in client.search_model_versions("name = 'churn'"))


def champion(client) -> str:
    return str(client.get_model_version_by_alias("churn", "champion").version)


def test_the_first_model_is_promoted_and_its_equal_is_not(site, mlflow_client):
    site.put(PAGE)
    site.lake.write_once("visits", visits(40), app="load")
    first = site.run("train_churn")
    assert first.tasks == {"train": "success", "evaluate": "success", "promote": "success"}
    assert first.results["evaluate"]["metrics"]["log_loss"]["value"] < 0.6
    assert first.results["evaluate"]["rows"] == 601  # ten days, and the row at their start
    assert champion(mlflow_client) == "1"

    again = site.run("train_churn")
    assert again.tasks == {"train": "success", "evaluate": "success", "promote": "skipped"}
    assert again.results["evaluate"]["verdict"] == "refused"
    assert (champion(mlflow_client), versions(mlflow_client)) == ("1", ["1"])


# Other forms: tests/steps/test_promote_address.py.
@pytest.mark.parametrize("form", ["models:/churn@candidate", "runs:/{run_id}/model", "runs:/{run_id}/files"])
def test_a_model_at_any_address_is_judged_and_promoted(site, mlflow_client, tmp_path, form):
    import mlflow
    from sklearn.linear_model import LogisticRegression

    rows = visits(20, seed=3).to_pandas()
    mlflow.set_experiment("churn")
    model = LogisticRegression().fit(rows[["age", "spend"]], rows["churned"])
    how = {"input_example": rows[["age", "spend"]].head(), "pyfunc_predict_fn": "predict_proba"}
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(model, name="model", **how)
        # As MLflow 2 kept models: files of the run.
        mlflow.sklearn.save_model(model, tmp_path / "files", **how)
        mlflow.log_artifacts(str(tmp_path / "files"), "files")
    mlflow.register_model(logged.model_uri, "churn")
    mlflow_client.set_registered_model_alias("churn", "candidate", "1")
    site.lake.write_once("visits_after_training", visits(12, first="2025-03-01"), app="load")
    source = PAGE["dags/promote_candidate.py"].replace("models:/churn@candidate", form.format(run_id=run.info.run_id))
    site.put({"dags/promote_candidate.py": source})

    done = site.run("promote_candidate")

    assert done.tasks == {"evaluate": "success", "promote": "success"}
    made = "2" if form.startswith("runs") else "1"
    assert (champion(mlflow_client), versions(mlflow_client)[-1]) == (made, made)
    assert PromotionLedger(site.lake, "churn").champion().version == made
    assert mlflow.pyfunc.load_model("models:/churn@champion").predict(rows[["age", "spend"]]).shape == (1200, 2)

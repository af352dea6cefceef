"""From each task to what it made, and to the YAML that it came from."""

import httpx
import pytest

from tests.live.data import batch


@pytest.fixture(scope="module")
def training(lived):
    return f"shop__{batch(2)}"


def run_with(live, dag_id, task_id, link):
    """Return the id of the first run in which a task has a link, and the link's address."""
    for run in live.runs(dag_id):
        url = live.links(dag_id, run["dag_run_id"], task_id).get(link)
        if url:
            return run["dag_run_id"], url
    raise AssertionError(f"no run of {dag_id} has {link!r}")


@pytest.mark.parametrize("task_id", ["train", "evaluate"])
def test_a_training_links_to_its_mlflow_run(lived, training, task_id):
    url = lived.links("shop-train", training, task_id)["MLflow run"]
    assert httpx.get(url).status_code == 200
    run_id = url.rpartition("/runs/")[2]
    found = httpx.get(f"{lived.services.url('mlflow')}/api/2.0/mlflow/runs/get", params={"run_id": run_id})
    assert found.json()["run"]["info"]["status"] == "FINISHED"
    assert f"/experiments/{found.json()['run']['info']['experiment_id']}/" in url


@pytest.mark.parametrize("task_id", ["register", "promote"])
def test_a_promotion_links_to_the_version(lived, training, task_id):
    url = lived.links("shop-train", training, task_id)["Model version"]
    assert url == f"{lived.services.url('mlflow')}/#/models/shop/versions/2"
    assert httpx.get(url).status_code == 200
    known = {"name": "shop", "version": "2"}
    assert httpx.get(f"{lived.services.url('mlflow')}/api/2.0/mlflow/model-versions/get", params=known).is_success


@pytest.mark.parametrize(
    ("dag_id", "task_id", "link", "shown"),
    [
        ("shop-data", "validate", "Quarantine rows", "minutes on the page"),
        ("shop-monitor", "drift", "Drift report", "<html"),
        ("shop-monitor", "drift", "Monitoring history", "minutes: reference against window"),
    ],
)
def test_a_task_links_to_our_pages(lived, dag_id, task_id, link, shown):
    _, url = run_with(lived, dag_id, task_id, link)
    assert url.startswith(f"{lived.api.url}/mlops/")
    page = lived.api.client.get(url)
    assert page.status_code == 200
    assert shown in page.text


@pytest.mark.parametrize(
    ("dag_id", "task_id", "line"),
    [
        ("shop-data", "ingest", "files: in/{batch}.csv"),
        ("shop-train", "train", "estimator: sklearn.linear_model.LogisticRegression"),
        ("shop-monitor", "decide", "abs_above: 0.1"),
    ],
)
def test_a_tasks_documentation_shows_its_yaml(lived, dag_id, task_id, line):
    task = lived.api.call("GET", f"/dags/{dag_id}/tasks/{task_id}")
    assert task["doc_md"].startswith("```yaml\n")
    assert line in task["doc_md"]


def test_every_connection_type_has_a_form(live):
    forms = {form["connection_type"]: form for form in live.ask("GET", "/ui/connections/hook_meta").json()}
    assert {"mlflow", "mlops_lake", "feast"} <= set(forms)
    assert forms["mlflow"]["standard_fields"]["host"]["title"] == "Tracking URI"
    assert "root" in forms["mlops_lake"]["extra_fields"]


def test_the_asset_graph_joins_the_dags(lived):
    for uri, makes, wakes in (("data", "shop-data", "shop-score"), ("score", "shop-score", "shop-monitor")):
        assets = lived.api.call("GET", "/assets", params={"uri_pattern": f"mlops://shop/{uri}"})["assets"]
        (asset,) = [asset for asset in assets if asset["uri"] == f"mlops://shop/{uri}"]
        assert makes in {task["dag_id"] for task in asset["producing_tasks"]}
        assert wakes in {dag["dag_id"] for dag in asset["scheduled_dags"]}

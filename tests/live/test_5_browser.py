"""What a person sees in Airflow, in a real browser."""

from pathlib import Path

import pytest

from tests.live import screenshots
from tests.live.data import batch

pytestmark = pytest.mark.skipif(not Path(screenshots.CHROMIUM).exists(), reason=f"needs {screenshots.CHROMIUM}")


@pytest.fixture(scope="module")
def page(lived):
    with screenshots.browser(lived.api.url) as page:
        page.set_default_timeout(60_000)
        yield page


def test_the_pipelines_dags_are_listed(lived, page):
    screenshots.overview(page, lived.api.url, "shop")
    for section in ("data", "score", "monitor", "train"):
        assert page.get_by_role("link", name=f"shop-{section}", exact=True).first.is_visible()


def test_the_asset_graph_shows_who_wakes_whom(lived, page):
    screenshots.assets(page, lived.api, "shop")
    for name in ("shop-data", "mlops://shop/data", "shop-score", "shop-monitor"):
        assert page.locator(".react-flow__node", has_text=name).first.is_visible()


def test_a_task_shows_its_link_and_its_documentation(lived, page):
    screenshots.task(page, lived.api.url, "shop-train", f"shop__{batch(2)}", "train")
    address = lived.links("shop-train", f"shop__{batch(2)}", "train")["MLflow run"]
    assert page.get_by_role("link", name="MLflow run").get_attribute("href") == address
    screenshots.documentation(page, lived.api.url, "shop-train", "train")
    assert "sklearn.linear_model.LogisticRegression" in page.get_by_role("dialog").inner_text()


def test_a_person_sees_the_rows_that_were_put_aside(lived, page):
    runs = sorted(lived.runs("shop-data"), key=lambda run: run["data_interval_start"])
    screenshots.task(page, lived.api.url, "shop-data", runs[0]["dag_run_id"], "validate")
    page.goto(page.get_by_role("link", name="Quarantine rows").get_attribute("href"))
    assert page.locator("tr").count() == 4
    assert page.get_by_text("minutes on the page").first.is_visible()


def test_a_person_sees_how_far_a_column_moved(lived, page):
    tasks = [lived.links("shop-monitor", run["dag_run_id"], "drift") for run in lived.runs("shop-monitor")]
    page.goto(next(links["Monitoring history"] for links in tasks if links["Monitoring history"]))
    assert page.get_by_role("img", name="minutes: reference against window").is_visible()
    assert page.get_by_role("img", name="minutes: distance over the batches").is_visible()

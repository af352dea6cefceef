"""Pictures of a running demo for the documentation: `python -m tests.live.screenshots [FOLDER]`, by Chromium."""

import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from include.demo.airflow_api import AirflowApi
from include.demo.services import LOGIN

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]
SIZE = {"width": 1400, "height": 900}


@contextmanager
def browser(url, login=LOGIN):
    """Give a page of a fresh browser in which somebody has logged in to Airflow at `url`."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=ARGUMENTS, viewport=SIZE, color_scheme="light"
        )
        page = context.pages[0]
        page.goto(f"{url}/auth/login")
        page.get_by_label("Username").fill(login["username"])
        page.get_by_label("Password", exact=True).fill(login["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda now: "/auth/login" not in now)
        yield page
        context.close()


def overview(page, url, pipeline):
    """Show the pipeline's DAGs with their newest runs."""
    page.goto(f"{url}/dags?tags={pipeline}")
    page.get_by_role("link", name=f"{pipeline}-data", exact=True).first.wait_for()
    page.get_by_role("link", name=f"{pipeline}-train", exact=True).first.wait_for()
    page.wait_for_timeout(2000)  # the bars of the runs are drawn after the names


def assets(page, api, pipeline):
    """Show the graph of the pipeline's DAGs and the assets that join them."""
    uri = f"mlops://{pipeline}/score"
    found = api.call("GET", "/assets", params={"uri_pattern": uri})["assets"]
    page.goto(f"{api.url}/assets/{next(asset['id'] for asset in found if asset['uri'] == uri)}")
    page.locator(".react-flow__node", has_text=f"{pipeline}-monitor").first.wait_for()
    page.wait_for_timeout(2000)  # until the graph has found its place


def task(page, url, dag_id, run_id, task_id):
    """Show a task of a run with its links."""
    page.goto(f"{url}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/details")
    page.get_by_text("Extra Links").wait_for()
    page.wait_for_timeout(1000)


def documentation(page, url, dag_id, task_id):
    """Show a task's documentation: the YAML that it came from."""
    page.goto(f"{url}/dags/{dag_id}/tasks/{task_id}")
    page.get_by_role("button", name="Documentation", exact=True).click()
    page.get_by_role("dialog").wait_for()
    page.wait_for_timeout(1000)


def main(folder="docs/images", url="http://127.0.0.1:8080", pipeline="flights"):
    pictures = Path(folder)
    pictures.mkdir(parents=True, exist_ok=True)
    api = AirflowApi(url)
    training = next(run for run in reversed(api.runs(f"{pipeline}-train")) if run["state"] == "success")
    with browser(url) as page:
        overview(page, url, pipeline)
        page.screenshot(path=pictures / "airflow.png")
        task(page, url, training["dag_id"], training["dag_run_id"], "train")
        page.screenshot(path=pictures / "run.png")


if __name__ == "__main__":
    main(*sys.argv[1:])

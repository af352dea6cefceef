"""Beside other teams: their assets, their users, and what our pages tell whom."""

import pytest

from tests.live.data import PER_DAY, batch

SHOWN = "/mlops/shop-data/{run}/validate/-1/quarantine"


@pytest.fixture(scope="module")
def january(lived):
    """Give the id of the data run that put three rows aside."""
    runs = lived.runs("shop-data")
    return min(runs, key=lambda run: run["data_interval_start"] or "~")["dag_run_id"]


def test_a_foreign_dags_asset_starts_the_data_of_its_interval(live):
    run_id = live.start_run("foreign", logical_date="2025-12-15T00:00:00+01:00")
    assert live.ended("foreign", run_id) == "success"
    (run,) = live.wait("its asset has woken the data", lambda: live.runs("after-data"))
    assert live.ended("after-data", run["dag_run_id"]) == "success"
    (row,) = live.batches("orders")
    assert (row.batch.id, row.rows) == (batch(11), 30 * PER_DAY)


@pytest.mark.parametrize(("user", "may_start"), [("vera", False), ("uwe", True)])
def test_a_user_sees_the_dags_and_may_do_what_the_role_allows(lived, user, may_start):
    seen = lived.ask("GET", "/dags", user=user, params={"limit": 100}).json()["dags"]
    assert {"shop-data", "shop-train"} <= {dag["dag_id"] for dag in seen}
    assert lived.ask("GET", "/connections", user=user).status_code == 403
    assert lived.ask("GET", "/variables", user=user).status_code == 403
    # A date outside the pipeline's data: refused for what it asks, where it is not refused for who asks.
    body = {"logical_date": "2031-01-01T00:00:00Z"}
    started = lived.ask("POST", "/dags/shop-data/dagRuns", user=user, json=body)
    assert started.status_code == (400 if may_start else 403)


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("vera", 200)])
def test_a_page_is_for_who_may_read_the_task(lived, january, user, status):
    assert lived.ask("GET", SHOWN.format(run=january), user=user).status_code == status


def test_a_page_is_read_only_and_in_a_sandbox(lived, january):
    path = SHOWN.format(run=january)
    page = lived.ask("GET", path)
    assert page.headers["content-security-policy"].startswith("sandbox")
    assert "3 of 3 rows" in page.text
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert lived.ask(method, path).status_code == 405

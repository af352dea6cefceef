"""The life of one pipeline, in the order of its months: only `shop-data` is ever started."""

from collections import Counter

import httpx
import pytest

from airflow_mlops_provider.steps.history import Monitoring
from tests.live.data import PER_DAY, batch, month

JANUARY, FEBRUARY = batch(1), batch(2)


def runs_of(live, section):
    return [(run["dag_run_id"], run["state"]) for run in live.runs(f"shop-{section}")]


def predictions(live):
    """Return how many predictions each batch has, a role of the model."""
    rows = live.lake.read("predictions/shop")
    return Counter(zip(rows["_batch"].to_pylist(), rows["role"].to_pylist(), strict=True))


def test_the_first_month_makes_a_champion(lived):
    decision = lived.decisions()[JANUARY]
    assert (decision.decision, decision.id) == ("retrain", f"shop__{JANUARY}")
    assert decision.reason.startswith("no champion, 1 of 1 labelled batches")
    states = lived.states("shop-train", decision.id)
    assert states == dict.fromkeys(("train", "evaluate", "register", "promote"), "success")
    assert [p.version for p in lived.promotions() if p.batch == JANUARY] == ["1"]


def test_the_second_month_is_scored_measured_and_trained_on(lived):
    assert predictions(lived) == {(FEBRUARY, "champion"): 28 * PER_DAY}
    measured = Monitoring(lived.lake, "shop").lines("performance")[FEBRUARY]["record"]
    assert (measured["version"], measured["labelled"]) == ("1", 28 * PER_DAY)
    assert lived.decisions()[FEBRUARY].decision == "retrain"
    assert [p.version for p in lived.promotions()] == ["1", "2"]


def test_every_run_of_two_months_ended_well(lived):
    states = {section: runs_of(lived, section) for section in ("data", "score", "monitor", "train")}
    assert all(state == "success" for runs in states.values() for _, state in runs)
    assert {run_id for run_id, _ in states["train"]} == {f"shop__{JANUARY}", f"shop__{FEBRUARY}"}
    started = {run["dag_run_id"]: run["run_type"] for dag in ("score", "monitor") for run in lived.runs(f"shop-{dag}")}
    assert "manual" not in started.values()


def test_no_run_has_made_a_new_version_of_a_dag(lived):
    for section in ("data", "score", "monitor", "train"):
        versions = lived.api.call("GET", f"/dags/shop-{section}/dagVersions")["dag_versions"]
        assert [version["version_number"] for version in versions] == [1]


def test_a_second_start_of_the_same_decision_is_skipped(lived):
    (run_id,) = [
        run_id
        for run_id, _ in runs_of(lived, "monitor")
        if lived.states("shop-monitor", run_id).get("start_training") == "success"
        and lived.result("shop-monitor", run_id, "decide")["training"]["id"] == f"shop__{FEBRUARY}"
    ]
    before = runs_of(lived, "train")
    body = {"dag_run_id": run_id, "task_ids": ["start_training"], "dry_run": False, "only_failed": False}
    lived.api.call("POST", "/dags/shop-monitor/clearTaskInstances", json=body)
    assert lived.ended("shop-monitor", run_id) == "success"
    assert lived.states("shop-monitor", run_id)["start_training"] == "skipped"
    assert runs_of(lived, "train") == before
    answer = lived.ask(
        "POST", "/dags/shop-train/dagRuns", json={"logical_date": None, "dag_run_id": f"shop__{FEBRUARY}"}
    )
    assert answer.status_code == 409


def test_an_event_sent_by_hand_changes_nothing(lived):
    def state():
        return predictions(lived), lived.decisions(), lived.promotions(), lived.batches("visits")

    before, known = state(), len(runs_of(lived, "monitor"))
    lived.emit("mlops://shop/data")
    lived.wait("the event went through", lambda: len(runs_of(lived, "monitor")) > known)
    lived.settled(2)
    assert state() == before


def test_a_training_by_hand_with_nothing_new_is_refused_and_green(lived):
    run_id = lived.start_run("shop-train")
    assert lived.ended("shop-train", run_id) == "success"
    states = lived.states("shop-train", run_id)
    assert states == {"train": "success", "evaluate": "success", "register": "success", "promote": "skipped"}
    verdict = lived.result("shop-train", run_id, "evaluate")
    assert verdict["verdict"] == "refused"
    assert "no labelled row is later than" in verdict["reason"]
    assert [p.version for p in lived.promotions()] == ["1", "2"]


@pytest.fixture(scope="module")
def spring(lived):
    """Give the runs of March to June, by month, which came while scoring was paused."""
    lived.api.call("PATCH", "/dags/shop-score", json={"is_paused": True})
    runs = {number: lived.start_run("shop-data", number) for number in (3, 4, 5, 6)}
    for run_id in runs.values():
        lived.ended("shop-data", run_id)
    return runs


def test_a_refused_batch_fails_at_once_and_says_why(lived, spring):
    assert lived.state("shop-data", spring[4]) == "failed"
    tasks = lived.tasks("shop-data", spring[4])
    assert {name: task["state"] for name, task in tasks.items()} == {
        "ingest": "success",
        "validate": "failed",
        "maintain": "upstream_failed",
    }
    assert tasks["validate"]["try_number"] == 1
    verdict = lived.result("shop-data", spring[4], "validate")
    assert (verdict["verdict"], verdict["datasets"]["visits"]["quarantined"]) == ("refused", 30 * PER_DAY)
    assert {row.batch.id: row.status for row in lived.batches("visits")}[batch(4)] == "refused"


def test_what_came_while_scoring_was_paused_is_scored_once_each_in_order(lived, spring):
    assert [lived.state("shop-data", spring[number]) for number in (3, 5, 6)] == ["success"] * 3
    before = [row.batch.id for row in lived.batches("predictions/shop")]
    assert before == [FEBRUARY]
    lived.api.unpause("shop-score")
    lived.emit("mlops://shop/data")
    lived.settled(6)
    scored = sorted(lived.batches("predictions/shop"), key=lambda row: row.recorded_at)
    assert [row.batch.id for row in scored] == [FEBRUARY, batch(3), batch(5), batch(6)]
    rows = {FEBRUARY: 28, batch(3): 31, batch(5): 31, batch(6): 30}
    counts = predictions(lived)
    assert {name: counts[name, "champion"] for name in rows} == {name: days * PER_DAY for name, days in rows.items()}
    assert [name for name, role in counts if role == "shadow"] == [batch(3)]


def _unless_locked(answer):
    return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer


def test_a_backfill_through_the_api_works_in_order(lived, spring):
    dates = {"from_date": month(7).isoformat(), "to_date": month(9).isoformat()}
    body = {"dag_id": "shop-data", **dates, "max_active_runs": 1}
    # On SQLite Airflow answers 503 while the scheduler writes, and 409 where it had begun all the same: ask again.
    asked = lived.wait("a backfill", lambda: _unless_locked(lived.ask("POST", "/backfills", json=body)))
    assert asked.status_code in (httpx.codes.OK, httpx.codes.CONFLICT), asked.text
    lived.settled(9)
    filled = [run for run in lived.runs("shop-data") if run["run_type"] == "backfill"]
    assert [run["state"] for run in filled] == ["success"] * 3
    wanted = [batch(number) for number in (7, 8, 9)]
    for dataset in ("visits", "predictions/shop"):
        came = sorted(lived.batches(dataset), key=lambda row: row.recorded_at)
        assert [row.batch.id for row in came][-3:] == wanted
    assert all(lived.decisions()[name].champion == "2" for name in wanted)

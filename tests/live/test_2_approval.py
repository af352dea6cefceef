"""`approval:` and `ask:` are Airflow's own human-in-the-loop operator, answered over REST or by nobody."""

import time

# No person answers faster than this.
PERSON_S = 3


def asked(live, dag_id, run_id, task="approval"):
    """Wait until people are asked, and return the run's id."""
    live.wait("people are asked", lambda: live.states(dag_id, run_id).get(task) == "awaiting_input")
    return run_id


def answer(live, dag_id, run_id, option, *, user="admin", task="approval"):
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails"
    return live.ask("PATCH", path, user=user, json={"chosen_options": [option], "params_input": {}})


def ended(live, dag_id, run_id, option, task="approval"):
    """Wait for the run's end and return its state, answering as a person would whenever the task asks again.

    Airflow's scheduler learns of a task's wait about a second after the task; who answers before that sends it
    through its retry.
    """

    def done():
        if live.states(dag_id, run_id).get(task) == "awaiting_input":
            time.sleep(PERSON_S)
            answer(live, dag_id, run_id, option, task=task)
        return live.state(dag_id, run_id) in ("success", "failed")

    live.wait(f"{dag_id} {run_id} has ended", done)
    return live.state(dag_id, run_id)


def details(live, dag_id, run_id, task="approval"):
    return live.api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/-1/hitlDetails")


def test_a_rejection_skips_the_promotion(lived):
    run_id = asked(lived, "gate-train", lived.asked["gate-train"])
    assert "Promote gate version 1?" in details(lived, "gate-train", run_id)["subject"]
    assert answer(lived, "gate-train", run_id, "Approve", user="uwe").status_code == 403
    assert ended(lived, "gate-train", run_id, "Reject") == "success"
    states = lived.states("gate-train", run_id)
    assert (states["approval"], states["promote"]) == ("success", "skipped")
    assert details(lived, "gate-train", run_id)["responded_by_user"]["id"] == "admin"
    assert lived.promotions("gate") == []


def test_an_approval_promotes(lived):
    run_id = asked(lived, "gate-train", lived.start_run("gate-train"))
    assert ended(lived, "gate-train", run_id, "Approve") == "success"
    assert lived.states("gate-train", run_id)["promote"] == "success"
    (promotion,) = lived.promotions("gate")
    assert promotion.version == "2"


def test_silence_counts_as_a_no_and_is_recorded(lived):
    silent = lived.asked["hasty-train"]
    assert lived.ended("hasty-train", silent) == "success"
    assert lived.states("hasty-train", silent)["promote"] == "skipped"
    record = details(lived, "hasty-train", silent)
    assert record["chosen_options"] == ["Reject"]
    assert record["responded_by_user"] is None
    assert lived.promotions("hasty") == []


def test_people_who_are_asked_before_a_training_may_refuse_it(lived):
    run_id = asked(lived, "careful-train", lived.start_run("careful-train"), "ask")
    found = details(lived, "careful-train", run_id, "ask")
    assert found["subject"] == f"Train careful for {run_id}?"
    assert found["body"] == "started by a person"
    assert ended(lived, "careful-train", run_id, "Reject", "ask") == "success"
    states = lived.states("careful-train", run_id)
    assert (states["ask"], states["train"], states["promote"]) == ("success", "skipped", "skipped")
    assert lived.promotions("careful") == []

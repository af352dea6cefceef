"""`approval:` is Airflow's own human-in-the-loop operator, answered over REST or by nobody."""


def asked(live, dag_id, run_id):
    """Wait until people are asked, and return the run's id."""
    live.wait("people are asked", lambda: live.states(dag_id, run_id).get("approval") == "awaiting_input")
    return run_id


def answer(live, dag_id, run_id, option, *, user="admin"):
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails"
    return live.ask("PATCH", path, user=user, json={"chosen_options": [option], "params_input": {}})


def ended(live, dag_id, run_id, option):
    """Wait for the run's end and return its state, answering as a person would whenever the task asks again.

    On a busy machine Airflow notices a task's wait late, and a quick answer then sends it through its retry.
    """

    def done():
        if live.states(dag_id, run_id).get("approval") == "awaiting_input":
            answer(live, dag_id, run_id, option)
        return live.state(dag_id, run_id) in ("success", "failed")

    live.wait(f"{dag_id} {run_id} has ended", done)
    return live.state(dag_id, run_id)


def details(live, dag_id, run_id):
    return live.api.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails")


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

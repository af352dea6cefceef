"""`retrain: {ask: true}`: people are asked before a training, and monitoring waits for nobody."""

from __future__ import annotations

from airflow_mlops_provider.factory.local import LocalRun
from tests.factory.test_build import LOADER, SHOP

ASK = SHOP.replace("retrain: {", "retrain: {ask: true, ")
APPROVAL = "training:\n  approval: {approvers: [risk], timeout: 6h}\n"


def test_people_are_asked_before_a_training_and_silence_is_a_no(dags, read_dags):
    (dags / "shop.yaml").write_text(ASK)
    (dags / "shop.py").write_text(LOADER)
    bag = read_dags()
    assert bag.import_errors == {}
    train, monitor = bag.dags["shop-train"], bag.dags["shop-monitor"]
    ask = train.get_task("ask")
    assert ask.upstream_task_ids == set()
    assert train.get_task("train").upstream_task_ids == {"ask"}
    assert (ask.defaults, ask.response_timeout.days) == (["Reject"], 3)
    assert not ask.assigned_users
    assert monitor.get_task("start_training").upstream_task_ids == {"decide"}
    assert monitor.get_task("decide").retrain == {"when": {"calibration_gap": {"abs_above": 0.04}}, "ask": True}


def test_the_question_has_the_decision_s_reason(dags, read_dags):
    (dags / "shop.yaml").write_text(ASK)
    (dags / "shop.py").write_text(LOADER)
    ask = read_dags().dags["shop-train"].get_task("ask")

    class Run:
        def __init__(self, conf):
            self.conf = conf

    for conf, said in (({"decision": {"reason": "gap -.077"}}, "gap -.077"), (None, "started by a person")):
        context = {"dag_run": Run(conf), "run_id": "shop__2013-04-01"}
        assert ask.render_template(ask.subject, context) == "Train shop for shop__2013-04-01?"
        assert ask.render_template(ask.body, context) == said
    assert {"subject", "body"} <= set(ask.template_fields)


def test_the_people_of_the_approval_are_asked_for_as_long(planned):
    found = planned(ASK.replace("training:\n", APPROVAL).replace("shop", "churn"))
    tasks = {task.task_id: task for dag in found.dags for task in dag.tasks}
    assert tasks["ask"].arguments == {"approvers": ["risk"], "timeout_s": 21600.0}
    assert str(tasks["ask"].provenance["approvers"]).startswith("churn.yaml:")
    assert "ask" not in {task.task_id for dag in planned(SHOP).dags for task in dag.tasks}


def test_without_airflow_nobody_is_asked(planned, tmp_path):
    run = LocalRun.of(planned(ASK), tmp_path, lambda *_: None)
    (end,) = run.run("ask", run_id="r1")
    assert (end.status, end.detail, end.good) == ("skipped", "people are asked in Airflow only", True)

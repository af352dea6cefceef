"""A run that is late is told by the triggerer, through a notifier of the bundle; a task of the pipeline's own runs."""

import json


def test_a_run_that_is_not_done_in_time_is_told_once(live):
    run_id = live.start_run("late-data", 1)
    told = live.bundle / "told.jsonl"
    assert live.ended("late-data", run_id) == "success"
    assert live.states("late-data", run_id) == {"dawdle": "success", "ingest": "success", "maintain": "success"}
    live.wait("somebody is told", told.is_file)
    (line,) = map(json.loads, told.read_text().splitlines())
    assert (line["event"], line["pipeline"], line["run"]) == ("missed_deadline", "late", run_id)
    assert line["message"].startswith(f"run {run_id} of late-data was not done by 2")

from __future__ import annotations

import pytest

from airflow_mlops_provider.contracts.protocol import Message, Outcome, Request
from airflow_mlops_provider.contracts.validate import ValidateResult
from airflow_mlops_provider.runners import Runner
from airflow_mlops_provider.testing import RecordingRunner

ASKED = Request("validate", {"pipeline": "p", "lake": "l"}, "key-1")


def test_it_records_what_it_was_asked_and_answers_as_told():
    told = Outcome("failed", kind="transient", error="away")
    recording = RecordingRunner({"validate": told}, messages=(Message("half"),))
    runner: Runner = recording
    said = []
    assert runner.run(ASKED, emit=said.append) == told
    assert recording.requests == [ASKED]
    assert said == [Message("half")]


@pytest.mark.parametrize(("verdict", "status"), [("pass", "succeeded"), ("refused", "rejected")])
def test_a_result_model_is_answered_as_a_real_runner_would(verdict, status):
    result = ValidateResult(batch="b", verdict=verdict, datasets={})
    outcome = RecordingRunner({"validate": result}).run(ASKED, emit=print)
    assert outcome == Outcome(status, result={"batch": "b", "verdict": verdict, "datasets": {}})


def test_a_step_without_an_answer_is_the_tests_error():
    with pytest.raises(LookupError, match=r"no answer for step 'validate'; given: train"):
        RecordingRunner({"train": Outcome("succeeded", result={})}).run(ASKED, emit=print)

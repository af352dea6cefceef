"""The same step, the same result, the same faults: wherever it runs."""

from __future__ import annotations

import sys

import pytest

from airflow_mlops_provider.contracts.protocol import Message, Outcome, Request
from airflow_mlops_provider.runners import RUNNERS
from airflow_mlops_provider.runners.interpreter import Interpreter


@pytest.fixture
def run(runner, tiny_request):
    def _run(do="work", **spec):
        said = []
        outcome = runner.run(tiny_request(do, **spec), emit=said.append)
        return outcome, said

    return _run


def test_a_step_gets_its_spec_and_gives_its_result_and_messages(run):
    outcome, said = run(number=7, batches=["2013-01-01"])
    seen = ["p", "key-1", "ann", "2013-01-01"]
    assert outcome == Outcome("succeeded", result={"verdict": "pass", "seen": seen, "figure": 7.0})
    assert said == [Message("half", progress=0.5)]


def test_a_gates_no_is_a_result(run):
    outcome, _ = run("refuse")
    assert (outcome.status, outcome.kind, outcome.error) == ("rejected", None, "")
    assert outcome.result["seen"] == ["too few rows"]


@pytest.mark.parametrize(
    ("do", "kind", "error"),
    [
        ("wrong_input", "bad_input", "orders.csv, row 7: no date; give one"),
        ("conflict", "transient", "a compaction was faster"),
        ("lost", "lost", "the pod is gone"),
        ("lost_race", "bad_input", "version 3 was promoted meanwhile"),
    ],
)
def test_the_type_of_an_error_says_its_kind(run, do, kind, error):
    outcome, _ = run(do)
    assert outcome == Outcome("failed", kind=kind, error=error)


@pytest.mark.parametrize(
    ("do", "error", "in_trace"),
    [
        ("users_bug", "KeyError: 'amount'", 'return {}["amount"]'),
        ("leave", "SystemExit: enough", "sys.exit"),
        ("other_result", "BugError: step 'tiny' returned a TinySpec, not a TinyResult", "BugError"),
        ("not_a_number", "BugError: TinyResult is not plain JSON: Out of range float values", "ValueError"),
    ],
)
def test_any_other_error_is_a_bug_with_its_trace(run, do, error, in_trace):
    outcome, _ = run(do)
    assert outcome.kind == "bug"
    assert outcome.error.startswith(error)
    assert in_trace in outcome.trace


def test_an_error_with_a_cause_keeps_its_trace(run):
    outcome, _ = run("caused")
    assert (outcome.kind, outcome.error) == ("bad_input", "no amount")
    assert 'return {}["amount"]' in outcome.trace


def test_no_secret_leaves_with_an_error(run):
    outcome, _ = run("leak")
    assert outcome.error == "ValueError: cannot reach postgres://u:***@db"
    assert "hunter2" not in outcome.encode()


def test_no_secret_leaves_with_a_message(run):
    outcome, said = run("tell")
    assert outcome.status == "succeeded", outcome.error
    assert [message.text for message in said] == ["trying postgres://u:***@db again"]


def test_a_module_that_is_not_installed_is_named_with_the_way_out(run, runner):
    outcome, _ = run("no_module")
    python = runner.python if isinstance(runner, Interpreter) else sys.executable
    assert outcome.kind == "bad_input"
    assert outcome.error == (
        f"step 'tiny' needs 'no_such_library', which is not installed in {python}; "
        "what the step itself needs comes with: pip install 'airflow-mlops-provider[lake]'"
    )


def test_a_spec_that_does_not_fit_is_told_by_field_and_type_without_its_values(run):
    outcome, _ = run(number="hunter3", batches=["a", 5], numbr=1)
    assert outcome.kind == "bad_input"
    assert outcome.error == (
        "step 'tiny': spec.number: Input should be a valid integer (got str); "
        "spec.batches.1: Input should be a valid string (got int); "
        "spec.numbr: Extra inputs are not permitted (got int)"
    )
    assert outcome.trace == ""


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Request("tinny", {}, "r"), "no step 'tinny'; known: ingest"),
        (Request("tiny", {"pipeline": "p"}, "r"), "step 'tiny': spec.lake: Field required"),
        (Request("tiny", {}, "r", protocol=99), "protocol 99 is not spoken by"),
    ],
)
def test_a_request_that_cannot_be_met_is_bad_input(runner, request_, error):
    outcome = runner.run(request_, emit=print)
    assert (outcome.status, outcome.kind) == ("failed", "bad_input")
    assert outcome.error.startswith(error)


def test_a_request_that_is_not_json_is_the_callers_error(runner):
    with pytest.raises(TypeError):
        runner.run(Request("tiny", {"number": {1}}, "r"), emit=print)


def test_an_exception_of_emit_passes_through(runner, tiny_request):
    class EnoughError(BaseException):
        pass

    def emit(message):
        raise EnoughError

    with pytest.raises(EnoughError):
        runner.run(tiny_request("many", number=100_000), emit=emit)


def test_every_runner_is_here():
    assert list(RUNNERS) == ["local", "python"]

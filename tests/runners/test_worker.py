"""The child's side that the runners' tests do not reach."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from airflow_mlops_provider.contracts.protocol import Outcome, decode
from airflow_mlops_provider.runners.child import Lines
from airflow_mlops_provider.runners.execute import answer
from airflow_mlops_provider.runners.interpreter import Interpreter
from airflow_mlops_provider.runners.worker import Channel

OURS = str(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "not a line of protocol 1: ''"),
        (Outcome("succeeded", result={}).encode(), "Outcome where a request belongs"),
    ],
)
def test_what_is_no_request_is_bad_input(line, error):
    assert answer(line, print) == Outcome("failed", kind="bad_input", error=error)


def test_an_environment_without_pydantic_says_what_to_install(make_python, tmp_path, tiny_request):
    python = make_python(tmp_path / "half", OURS)
    outcome = Interpreter(python).run(tiny_request("work"), emit=print)
    assert outcome.kind == "bad_input"
    assert outcome.error == (
        f"step 'tiny' needs 'pydantic', which is not installed in {python}; "
        "what the step itself needs comes with: pip install 'airflow-mlops-provider'"
    )


def test_log_records_keep_their_level():
    reading, writing = os.pipe()
    channel = Channel(writing)
    for level in (5, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        channel.emit(logging.LogRecord("n", level, "f", 1, "said %d", (level,), None))
    channel.close()
    with os.fdopen(reading) as lines:
        levels = [decode(line).level for line in lines]
    assert levels == ["debug", "debug", "info", "warning", "error", "error"]


@pytest.mark.parametrize("chunks", [[b"a\nb\n\nc"], [b"a", b"\n", b"b\n\n", b"c"], [b"a\nb", b"\n", b"\nc"]])
def test_lines_are_whole_however_they_are_cut(chunks):
    lines = []
    cutter = Lines(lines.append)
    for chunk in chunks:
        cutter.feed(chunk)
    cutter.close()
    assert lines == ["a", "b", "", "c"]

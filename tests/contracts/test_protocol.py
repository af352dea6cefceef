from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.protocol import (
    Message,
    Outcome,
    ProtocolError,
    ProtocolVersionError,
    Request,
    decode,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_objects = st.dictionaries(
    st.text(), st.recursive(scalars, lambda c: st.lists(c) | st.dictionaries(st.text(), c), max_leaves=8)
)
requests = st.builds(
    Request, st.text(), json_objects, st.text(), st.none() | st.text(), st.dictionaries(st.text(), json_objects)
)
messages = st.builds(
    Message,
    st.text(),
    st.sampled_from(["debug", "info", "warning", "error"]),
    st.none() | st.floats(0, 1) | st.integers(0, 1),
)
outcomes = st.builds(Outcome, st.sampled_from(["succeeded", "rejected"]), json_objects) | st.builds(
    Outcome, st.just("failed"), st.none(), st.sampled_from(["bad_input", "transient", "lost", "bug"]), st.text()
)


@given(requests | messages | outcomes)
def test_what_was_encoded_is_one_line_and_decodes_to_itself(said):
    line = said.encode()
    assert "\n" not in line
    assert decode(line) == said


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "[]",
        "1",
        "{}",
        '{"type": ["message"]}',
        '{"type": "greeting", "text": "x"}',
        '{"type": "message"}',
        '{"type": "message", "text": 5}',
        '{"type": "message", "text": "x", "level": "loud"}',
        '{"type": "message", "text": "x", "progress": NaN}',
        '{"type": "message", "text": "x", "progress": true}',
        '{"type": "message", "text": "x", "colour": "red"}',
        '{"type": "request", "step": "s", "spec": [], "run_key": "r"}',
        '{"type": "request", "step": "s", "spec": {}, "run_key": "r", "connections": {"c": 1}}',
        '{"type": "outcome", "status": "maybe", "result": {}}',
        '{"type": "outcome", "status": "succeeded"}',
        '{"type": "outcome", "status": "failed"}',
        '{"type": "outcome", "status": "failed", "kind": "weather"}',
        '{"type": "outcome", "status": "succeeded", "result": {}',
        "[" * 100_000,
    ],
)
def test_what_is_not_of_the_protocol_is_refused(line):
    with pytest.raises(ProtocolError):
        decode(line)


@pytest.mark.parametrize("number", [0, 2, -1, None, "1", 1.5])
def test_another_protocol_is_told_by_its_number_whatever_its_fields(number):
    line = json.dumps({"type": "request", "wish": "x", "protocol": number})
    with pytest.raises(ProtocolVersionError) as caught:
        decode(line)
    assert str(caught.value) == (
        f"protocol {number!r} is not spoken by {sys.executable}, which speaks 1: "
        "install the same airflow-mlops-provider on both sides"
    )


def test_a_broken_request_does_not_show_its_secrets():
    line = Request("s", {}, "", connections={"db": {"password": "hunter2"}}).encode()
    with pytest.raises(ProtocolError) as caught:
        decode(line[:-1])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("said", [Outcome("succeeded", result={"x": float("nan")}), Request("s", {"x": {1}}, "r")])
def test_what_is_not_json_is_not_encoded(said):
    with pytest.raises((ValueError, TypeError)):
        said.encode()


def test_connections_are_not_in_a_requests_repr():
    assert "hunter2" not in repr(Request("s", {}, "r", connections={"db": {"password": "hunter2"}}))


def test_it_needs_the_standard_library_only():
    code = "import sys, airflow_mlops_provider.contracts.protocol; print('pydantic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"

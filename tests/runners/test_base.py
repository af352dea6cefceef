from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.base import Batch
from airflow_mlops_provider.contracts.protocol import Request
from airflow_mlops_provider.contracts.validate import Checks, ValidateSpec
from airflow_mlops_provider.runners.base import redacted, request_for

BATCH = Batch(id="2013-01-01", start=datetime(2013, 1, 1, tzinfo=UTC), end=datetime(2013, 2, 1, tzinfo=UTC))


def test_a_request_leaves_out_what_is_at_its_default():
    spec = ValidateSpec(pipeline="p", lake="l", datasets={"flights": Checks(max_failed=0.0)}, batch=BATCH)
    assert request_for("validate", spec, run_key="k", connections={"db": {"login": "ann"}}) == Request(
        "validate",
        {
            "pipeline": "p",
            "lake": "l",
            "datasets": {"flights": {}},
            "batch": {"id": "2013-01-01", "start": "2013-01-01T00:00:00Z", "end": "2013-02-01T00:00:00Z"},
        },
        "k",
        connections={"db": {"login": "ann"}},
    )


def test_secrets_are_found_at_any_depth_and_in_a_url():
    connections = {"db": {"login": "annabel", "password": "p@ss/w", "extra": {"aws": {"secret_key": "wJalr"}}}}
    text = redacted("annabel:p@ss/w, annabel:p%40ss%2Fw@db, wJalr", connections)
    assert text == "annabel:***, annabel:***@db, ***"


@given(st.text(min_size=4), st.text(), st.text())
def test_no_secret_stays(secret, before, after):
    text = redacted(before + secret + after + quote(secret, safe=""), {"c": {"password": secret}})
    assert secret not in text.replace("***", "") or secret in (before + after)


def test_nothing_short_is_blanked_out():
    assert redacted("a cat sat", {"c": {"password": "a", "host": "cat sat"}}) == "a cat sat"

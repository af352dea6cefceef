from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.templates import rendered, run_fields, template_faults

BERLIN = ZoneInfo("Europe/Berlin")
FIELDS = run_fields("r1", datetime(2026, 1, 2, tzinfo=BERLIN), datetime(2026, 1, 3, tzinfo=BERLIN))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ ds }}", "2026-01-01"),  # in UTC, as in Airflow
        ("{{ data_interval_end | ds_nodash }}.csv", "20260102.csv"),
        ("{{ ts }}", "2026-01-01T23:00:00+00:00"),
        ("{{ts_nodash}}/{{ run_id }}", "20260101T230000/r1"),
        ("{batch}.csv", "{batch}.csv"),
    ],
)
def test_renders_as_airflow_does(text: str, wanted: str) -> None:
    assert rendered({"a": [text, 3]}, FIELDS) == {"a": [wanted, 3]}


def test_what_a_run_does_not_have_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^template '\{\{ params.x \}\}': this run has no params.x; it has run_id$"):
        rendered("{{ params.x }}", run_fields("r1", None, None))


TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\{\{|\{%|\{#", re.DOTALL)


@given(st.text(st.sampled_from("{}%#a\n"), max_size=20))
def test_finds_every_template(text: str) -> None:
    """A slow pattern says the same."""
    found = [message.split(" is not allowed")[0] for _, message in template_faults(text)]

    assert found == [f"template {token!r}" for token in TEMPLATE.findall(text)]

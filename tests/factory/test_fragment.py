from __future__ import annotations

import math
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.factory.fragment import fragment
from airflow_mlops_provider.factory.load import parse

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["no", "On", "null", "~", "1", "1.5", "01", "a: b", "- a", "#a", "a #b", "{a}", "%a", "a\n", "a\n\nb", " a\nb",
     "a\n ", "a \nb", "\ta", "2013-01-01", "1_000", "0x1f", ".inf", "=", "<<", "a:", "@daily", "0 6 * * *", "\x85",
     "\u2028x\ny"]
)  # fmt: skip
NUMBERS = st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXT.filter(lambda key: key != "<<"), VALUES, max_size=4))
def test_any_reader_of_yaml_gets_the_value_back(value: dict[str, Any]) -> None:
    assert same(yaml.safe_load(fragment(value)), value)


def same(read: Any, value: Any) -> bool:
    if isinstance(value, float):
        # YAML 1.1 wants a sign in an exponent and takes some numbers for text: as near as a reader comes.
        return math.isclose(float(read), value)
    if isinstance(value, dict):
        return list(read) == list(value) and all(same(read[key], item) for key, item in value.items())
    if isinstance(value, list):
        return len(read) == len(value) and all(map(same, read, value))
    return bool(read == value) and type(read) is type(value)


def test_reads_like_what_people_write() -> None:
    data = {
        "data": {
            "schedule": "@daily",
            "start": "2026-01-01",
            "ingest": {"visits": {"sql": "select *\nfrom visits\n", "conn_id": "shop", "unique_key": ["id"]}},
            "validate": {},
        },
        "tags": [{"a": 1, "b": [True, None]}, "no", "plain words"],
    }

    assert fragment(data) == (
        'data:\n  schedule: "@daily"\n  start: "2026-01-01"\n  ingest:\n    visits:\n      sql: |\n        select *\n'
        "        from visits\n      conn_id: shop\n      unique_key:\n      - id\n  validate: {}\n"
        'tags:\n- a: 1\n  b:\n  - true\n  - null\n- "no"\n- plain words\n'
    )
    assert parse(fragment(data), "a.yaml").data == data

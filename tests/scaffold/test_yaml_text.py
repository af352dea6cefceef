"""What is written as YAML is read as what was meant."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.factory.load import parse
from airflow_mlops_provider.scaffold.yaml_text import comment, listed, mapped, scalar

# As columns may be called: what can be printed.
NAMES = st.text(min_size=1, max_size=30).filter(str.isprintable)
WORDS = st.sampled_from(["no", "NO", "on", "null", "true", "1", "010", "1e3", "2025-01-01", "a: b", "- a", "#a", "[a"])


def read(text):
    """Return what the package's own reader and PyYAML make of a text; they must agree."""
    ours, theirs = parse(text, "t.yaml").data, yaml.safe_load(text)
    assert ours == theirs
    return ours


@given(st.one_of(NAMES, WORDS))
def test_a_name_stays_a_name(name):
    assert read(f"a: {scalar(name)}") == {"a": name}
    assert read(f"a: {mapped({name: '1'})}") == {"a": {name: 1}}


@given(st.lists(st.one_of(NAMES, WORDS), min_size=1, max_size=60))
def test_a_list_of_any_length(names):
    text = f"a:\n  b:\n    c: {listed(names, 4)}\n    d: 1\n"
    assert read(text) == {"a": {"b": {"c": names, "d": 1}}}


def test_long_lists_are_wrapped():
    names = [f"column_{n}" for n in range(100)]
    assert max(map(len, listed(names, 4).splitlines())) <= 112
    assert listed(["a", "b c"], 4) == '[a, "b c"]'


@given(st.lists(NAMES, min_size=1, max_size=20))
def test_a_comment_is_one_on_every_line(words):
    lines = comment(" ".join(words), 4).splitlines()
    assert all(line.startswith("    # ") for line in lines)


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028", "\u2029", "\x0b", "\x1c"])
def test_no_line_ends_within_a_comment(end):
    assert comment(f"yes{end}tasks: 1", 4) == "    # yes tasks: 1"

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.factory.errors import PipelineFileError
from airflow_mlops_provider.factory.load import load, parse

# YAML 1.2 reads a number where PyYAML, of 1.1, writes a text without quotes.
NUMBER_IN_YAML_1_2 = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    # safe_dump folds what YAML cannot print plainly into escapes that no person writes
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20).filter(
        lambda text: not NUMBER_IN_YAML_1_2.fullmatch(text)
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text("abcyesno_123", min_size=1, max_size=8).filter(lambda k: k != "<<"), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=6), plain, min_size=1, max_size=5))
def test_reads_what_yaml_writes_and_marks_every_value(data: dict[str, object]) -> None:
    document = parse(yaml.safe_dump(data, allow_unicode=True), "a.yaml")

    assert document.data == data
    assert set(document.marks) == set(_paths(data))


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, item in items for p in _paths(item, (*path, key)))]


@pytest.mark.parametrize("word", ["NO", "no", "yes", "on", "off", "True", "y", "0o7", "010", "1_000", "12:30:00"])
def test_words_that_yaml_1_1_would_twist_stay_text(word: str) -> None:
    assert parse(f"countries: [DE, {word}]", "a.yaml").data == {"countries": ["DE", word]}


def test_only_true_false_null_and_plain_numbers_are_not_text() -> None:
    document = parse("a: [true, false, null, ~, 3, -0.5, 1e3, 2013-01-01, 'true', \"3\", .inf, 1e999]", "a.yaml")

    assert document.data["a"] == [
        True, False, None, None, 3, -0.5, 1000.0, "2013-01-01", "true", "3", ".inf", "1e999",
    ]  # fmt: skip


def test_marks_count_from_1_and_tell_key_from_value() -> None:
    mark = parse("a:\n  b:   [x, y]\n", "a.yaml").marks

    assert (mark["a", "b"].line, mark["a", "b"].column) == (2, 8)
    assert (mark["a", "b"].key_line, mark["a", "b"].key_column) == (2, 3)
    assert (mark["a", "b", 1].line, mark["a", "b", 1].column) == (2, 12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "a.yaml:3:1 key 'a' stands twice, first in line 1"),
        ("a: !!python/object:os.x {}", ("a.yaml:1:4 tag 'tag:yaml.org,2002:python/object:os.x': tags are not read, "
         "write plain values")),
        ("a: &x {b: 1}\nc: {<<: *x}", ("a.yaml:2:5 merge keys (<<) are not read; write the keys out, or use "
         "`environments:`")),
        ("a: *nowhere", "a.yaml:1:4 alias *nowhere has no anchor before it"),
        ("? [a, b]\n: 1", "a.yaml:1:3 a key must be text"),
        ("a: [b\nc: d", "a.yaml:2:2 not YAML: did not find expected ',' or ']'"),
        ("a: 1\n---\nb: 2", "a.yaml:2:1 a second YAML document; write one file a pipeline"),
        ("", "a.yaml:1:1 the file is empty"),
        ("- a", "a.yaml:1:1 a mapping of keys is wanted"),
        ("a: \x00", "a.yaml:1:1 not YAML: control characters are not allowed"),
    ],
)  # fmt: skip
def test_refuses_with_line_and_column(text: str, said: str) -> None:
    with pytest.raises(PipelineFileError) as caught:
        parse(text, "a.yaml")

    assert str(caught.value) == said


def test_an_alias_is_a_copy_and_an_error_in_it_points_at_its_anchor() -> None:
    document = parse("a: &keys [x]\nb: *keys", "a.yaml")

    assert document.data == {"a": ["x"], "b": ["x"]}
    assert document.marks["b", 0].line == 1


def test_multiplying_aliases_are_stopped() -> None:
    lines = ["a0: &a0 [1, 1]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 30))]

    with pytest.raises(PipelineFileError, match="are aliases multiplying"):
        parse("\n".join(lines), "a.yaml")


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "[" * 50 + "]" * 50])
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    with pytest.raises(PipelineFileError, match=r"a\.yaml:\d:\d+ (nested more than 40 deep|not YAML)"):
        parse(text, "a.yaml")


def test_a_file_of_another_encoding_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("a: 1\nb: Zürich".encode("latin-1"))

    with pytest.raises(PipelineFileError, match=r"^a\.yaml:2:1 not UTF-8 text$"):
        load(tmp_path / "a.yaml", "a.yaml")


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "a.yaml")


def test_an_environment_merges_mappings_and_replaces_all_else_with_its_own_marks() -> None:
    text = "a: {x: 1, y: [1, 2]}\nb: 2\nenvironments:\n  prod:\n    a: {y: [3]}\n    c: {d: 4}"
    merged = parse(text, "a.yaml").merged("prod")

    assert merged.data == {"a": {"x": 1, "y": [3]}, "b": 2, "c": {"d": 4}}
    assert (merged.marks["a", "y"].line, merged.marks["a", "y"].environment) == (5, "prod")
    assert (merged.marks["a", "x"].line, merged.marks["a", "x"].environment) == (1, None)
    assert ("a", "y", 1) not in merged.marks
    assert parse(text, "a.yaml").merged("unknown").data == {"a": {"x": 1, "y": [1, 2]}, "b": 2}

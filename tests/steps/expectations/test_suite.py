"""A suite is read strictly: every fault at once, with file, place and the way out, and nothing evaluated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.exceptions import ConfigError
from airflow_mlops_provider.steps.expectations import lint_suite, load_suite

NOT_NULL = "expect_column_values_to_not_be_null"


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(*expectations: Any, **more: Any) -> Path:
        path = tmp_path / "suite.json"
        path.write_text(json.dumps({"name": "s", "expectations": list(expectations), **more}))
        return path

    return write


def claim(kind: str = NOT_NULL, *, kwargs: Any = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": {"column": "a"} if kwargs is None else kwargs, **more}


def test_what_gx_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "false")
    program = (
        "import json, sys, great_expectations as gx, great_expectations.expectations as e;"
        "s = gx.ExpectationSuite(name='s', expectations=["
        "e.ExpectColumnValuesToNotBeNull(column='a', mostly=.9, severity='warning', notes='n', meta={'k': 1}),"
        "e.ExpectColumnValuesToBeBetween(column='a', min_value=1, strict_min=True),"
        "e.UnexpectedRowsExpectation(unexpected_rows_query='SELECT * FROM {batch} WHERE a > 1', description='d')]);"
        "open(sys.argv[1], 'w').write(json.dumps(s.to_json_dict()))"
    )
    path = tmp_path / "s.json"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, str(path)], check=True)
    suite = load_suite(path)
    assert [(e.severity, e.label) for e in suite.expectations] == [
        ("warning", "expect_column_values_to_not_be_null(a)"),
        ("critical", "expect_column_values_to_be_between(a)"),
        ("critical", "d"),
    ]


@pytest.mark.parametrize(
    ("expectation", "place", "words"),
    [
        (claim("expect_column_kl_divergence_to_be_less_than"), "[0].type", "is not compiled yet"),
        (claim("expect_column_values_to_not_be_nul"), "[0].type", f"Did you mean {NOT_NULL!r}?"),
        ({"expectation_type": NOT_NULL, "kwargs": {"column": "a"}}, "[0]", "Did you mean 'type'?"),
        (claim(kwargs={"colum": "a"}), "[0].kwargs.colum", "Did you mean 'column'?"),
        (claim(kwargs={"colum": "a"}), "[0].kwargs.column", "is required"),
        (claim(kwargs={"column": 3}), "[0].kwargs.column", "valid string"),
        (claim(kwargs={"column": "a", "mostly": 1.5}), "[0].kwargs.mostly", "less than or equal to 1"),
        (claim(kwargs={"column": "a", "mostly": "0.5"}), "[0].kwargs.mostly", "valid number"),
        (claim(kwargs={"column": "a", "mostly": {"$PARAMETER": "x"}}), "[0].kwargs.mostly", "write the value itself"),
        (claim(kwargs=["a"]), "[0].kwargs", "must be an object"),
        (claim(severity="fatal"), "[0].severity", "critical, warning, info"),
        ("DROP TABLE", "[0]", "an object with type and kwargs"),
        (
            claim(kwargs={"column": "a", "row_condition": "__import__('os').system('x')"}),
            "row_condition",
            "not compiled",
        ),
        (claim("expect_column_values_to_be_between"), "[0].kwargs", "give min_value, max_value or both"),
        (
            claim("expect_column_values_to_be_between", kwargs={"column": "a", "min_value": 2, "max_value": 1}),
            "[0].kwargs",
            "min_value is larger than max_value",
        ),
        (
            claim("expect_column_values_to_be_between", kwargs={"column": "a", "min_value": "low"}),
            "[0].kwargs",
            "ISO form",
        ),
        (claim("expect_column_values_to_match_regex", kwargs={"column": "a", "regex": "("}), "regex", "not a regular"),
        (claim("expect_column_values_to_match_regex", kwargs={"column": "a", "regex": "(?=x)"}), "regex", "RE2"),
        (
            claim("expect_column_values_to_be_in_set", kwargs={"column": "a", "value_set": [{"a": 1}]}),
            "[0].kwargs.value_set",
            "of a type that is not taken here",
        ),
    ],
)
def test_a_fault_is_named_with_its_place(written: Any, expectation: Any, place: str, words: str) -> None:
    path = written(expectation)
    faults = lint_suite(path)
    assert any(f.startswith(f"{path}: expectations") and place in f and words in f for f in faults), faults
    with pytest.raises(ConfigError, match="expectations"):
        load_suite(path)


def test_all_faults_come_at_once(written: Any) -> None:
    faults = lint_suite(written(claim(severity="x"), claim(), claim(kwargs={}), suit=1))
    places = [fault.split(": ")[1] for fault in faults]
    assert places[1:] == ["expectations[0].severity", "expectations[2].kwargs.column"]
    assert places[0].startswith("unknown key 'suit'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "a suite is an object"),
        ('{"name": "s", "expectations": [], "expectations": []}', "stands twice"),
        ('{"name": "s", "expectations": [], "meta": {"a": NaN}}', "not a number of JSON"),
        ("[" * 100_000, "not JSON"),
        ("{}", "needs a name"),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    assert any(words in fault for fault in lint_suite(path))


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert "cannot be read" in lint_suite(tmp_path / "none.json")[0]


def test_reasons_stay_apart(written: Any) -> None:
    labels = [e.label for e in load_suite(written(claim(), claim())).expectations]
    assert len(set(labels)) == 2


def test_lint_needs_no_ibis(written: Any) -> None:
    query = {"unexpected_rows_query": "SELECT * FROM {batch} WHERE a > 1"}
    path = written(claim(), claim("unexpected_rows_expectation", kwargs=query))
    program = (
        "import sys; from airflow_mlops_provider.steps.expectations import lint_suite;"
        "assert lint_suite(sys.argv[1]) == []; assert 'ibis' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)

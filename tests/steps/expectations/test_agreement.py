"""Every compiled expectation says what Great Expectations itself says on pandas."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_mlops_provider.contracts.validate import ExpectationResult
from airflow_mlops_provider.steps.expectations import KNOWN, load_suite
from airflow_mlops_provider.steps.expectations.scan import scan

# GX, and the libraries below it, use what their successors deprecated.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")
]

NUMBERS = st.sampled_from([None, math.nan, math.inf, -math.inf, -2.0, -0.0, 0.0, 0.5, 1.0, 3.0, 4096.0])
TEXTS = st.none() | st.text(alphabet="aB1 é\n本😀", max_size=3)
MOMENTS = st.none() | st.integers(0, 12).map(lambda n: pd.Timestamp("2013-01-01") + pd.Timedelta(hours=12 * n))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(-3, 3), TEXTS, MOMENTS), max_size=12)
SCHEMA = pa.schema(
    [("x", pa.float64()), ("y", pa.float64()), ("i", pa.int64()), ("s", pa.string()), ("at", pa.timestamp("us"))]
)

_BETWEEN = {"min_value": 0, "max_value": 1}
CLAIMS: list[tuple[str, dict[str, Any]]] = [
    *(("expect_column_values_to_not_be_null", {"column": c}) for c in ("x", "i", "s", "at")),
    ("expect_column_values_to_not_be_null", {"column": "x", "mostly": 0.5}),
    ("expect_column_values_to_be_null", {"column": "x", "mostly": 0.5}),
    ("expect_column_values_to_be_between", {"column": "x", **_BETWEEN}),
    ("expect_column_values_to_be_between", {"column": "x", **_BETWEEN, "strict_min": True, "strict_max": True}),
    ("expect_column_values_to_be_between", {"column": "i", "max_value": 1.5, "mostly": 0.7}),
    (
        "expect_column_values_to_be_between",
        {"column": "at", "min_value": "2013-01-02T00:00:00", "max_value": "2013-01-04T00:00:00"},
    ),
    ("expect_column_values_to_be_in_set", {"column": "x", "value_set": [0, 0.5, "a"]}),
    ("expect_column_values_to_be_in_set", {"column": "s", "value_set": ["a", "é", 1]}),
    ("expect_column_values_to_be_in_set", {"column": "i", "value_set": []}),
    ("expect_column_values_to_not_be_in_set", {"column": "i", "value_set": [1, 2]}),
    ("expect_column_values_to_not_be_in_set", {"column": "s", "value_set": ["", "本"], "mostly": 0.6}),
    ("expect_column_values_to_match_regex", {"column": "s", "regex": "^a"}),
    ("expect_column_values_to_match_regex", {"column": "s", "regex": "a.1?|本|[0-9]", "mostly": 0.3}),
    ("expect_column_values_to_not_match_regex", {"column": "s", "regex": "B.a|^1"}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 1, "max_value": 2}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 1, "strict_min": True}),
    ("expect_column_value_lengths_to_equal", {"column": "s", "value": 2}),
    ("expect_column_values_to_be_unique", {"column": "s"}),
    ("expect_column_values_to_be_unique", {"column": "x", "mostly": 0.5}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["x", "s"]}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["x", "s"], "ignore_row_if": "any_value_is_missing"}),
    ("expect_compound_columns_to_be_unique", {"column_list": ["x", "s"], "ignore_row_if": "never"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "y"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "y", "or_equal": True}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "x", "column_B": "y", "ignore_row_if": "either_value_is_missing", "mostly": 0.5},
    ),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "x", "column_B": "y", "ignore_row_if": "neither"},
    ),
    *(
        (f"expect_column_{figure}_to_be_between", {"column": column, "min_value": -1, "max_value": 2})
        for figure in ("mean", "median", "min", "max", "stdev", "sum", "unique_value_count")
        for column in ("x", "i")
    ),
    ("expect_column_max_to_be_between", {"column": "x", "max_value": 3, "strict_max": True}),
    ("expect_column_proportion_of_unique_values_to_be_between", {"column": "s", "min_value": 0.6}),
    ("expect_column_proportion_of_non_null_values_to_be_between", {"column": "x", "min_value": 0.75}),
    ("expect_table_row_count_to_be_between", {"min_value": 2, "max_value": 5}),
    ("expect_table_row_count_to_equal", {"value": 3}),
    ("expect_table_columns_to_match_set", {"column_set": ["x", "y", "i", "s", "at"]}),
    ("expect_table_columns_to_match_set", {"column_set": ["x", "y"]}),
    ("expect_table_columns_to_match_set", {"column_set": ["x", "y"], "exact_match": False}),
    ("expect_column_to_exist", {"column": "x"}),
    ("expect_column_to_exist", {"column": "i", "column_index": 1}),
    ("expect_column_to_exist", {"column": "z"}),
]


@pytest.fixture(scope="module")
def peer(monkeypatch_module: pytest.MonkeyPatch) -> Any:
    monkeypatch_module.setenv("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("table")
    batches = asset.add_batch_definition_whole_dataframe("whole")
    claims = [{"type": t, "kwargs": k, "meta": {"place": i}} for i, (t, k) in enumerate(CLAIMS)]
    suite = gx.ExpectationSuite(name="all", expectations=claims)

    def results(frame: pd.DataFrame) -> list[Any]:
        found = batches.get_batch({"dataframe": frame}).validate(suite).results
        return sorted(found, key=lambda r: r.expectation_config.meta["place"])

    return results


@pytest.fixture(scope="module")
def monkeypatch_module() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = Path(tmp_path_factory.mktemp("suite")) / "all.json"
    path.write_text(json.dumps({"name": "all", "expectations": [{"type": t, "kwargs": k} for t, k in CLAIMS]}))
    return load_suite(path).expectations


def ours(claims: Any, rows: list[Any]) -> tuple[ExpectationResult, ...]:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    table = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    table = table.append_column("_row_number", pa.array(range(len(rows)), pa.int64()))
    with duckdb.connect() as con:
        con.register("t", table)
        backend = ibis.duckdb.from_connection(con)
        return scan(backend, backend.table("t"), claims, {}).results


def test_every_compiled_type_is_compared() -> None:
    # GX runs the query of an unexpected_rows_expectation on SQL engines only: test_query.py compares it.
    assert {t for t, _ in CLAIMS} == set(KNOWN) - {"unexpected_rows_expectation"}


@given(rows=ROWS)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # GX takes a second a table: too slow to shrink
)
def test_same_success_counts_and_figures_as_gx(peer: Any, claims: Any, rows: list[Any]) -> None:
    frame = pd.DataFrame(rows, columns=SCHEMA.names).astype({"x": "float64", "y": "float64", "i": "int64"})
    frame["at"] = pd.to_datetime(frame["at"]).astype("datetime64[ns]")
    frame["s"] = frame["s"].astype(object)
    # GX itself fails on bounds of times where a column holds none: there is nothing to agree with.
    timed = bool(frame["at"].notna().any())
    differ = [
        (claim, mine, theirs.success, theirs.result, theirs.exception_info)
        for claim, theirs, mine in zip(CLAIMS, peer(frame), ours(claims, rows), strict=True)
        if not agree(mine, theirs) and (timed or "between" not in claim[0] or claim[1].get("column") != "at")
    ]
    assert not differ, (rows, differ)


def agree(mine: ExpectationResult, theirs: Any) -> bool:
    said = theirs.result
    same = [mine.success == theirs.success, not theirs.exception_info.get("raised_exception")]
    if "unexpected_count" in said:
        same.append(mine.unexpected == said["unexpected_count"])
        same.append(mine.element_count == said["element_count"] - said.get("missing_count", 0) or not mine.unexpected)
    observed = said.get("observed_value")
    if isinstance(mine.observed, int | float) and isinstance(observed, int | float):
        same.append(math.isclose(mine.observed, observed, rel_tol=1e-12))
    return all(same)


def test_a_dollar_is_the_very_end_of_the_text(tmp_path: Path) -> None:
    # RE2 differs from Python here: Python lets one newline follow.
    path = tmp_path / "s.json"
    kwargs = {"column": "s", "regex": "a$"}
    path.write_text(
        json.dumps({"name": "s", "expectations": [{"type": "expect_column_values_to_match_regex", "kwargs": kwargs}]})
    )
    found = ours(load_suite(path).expectations, [(None, None, 0, "a", None), (None, None, 0, "a\n", None)])
    assert found[0].unexpected == 1

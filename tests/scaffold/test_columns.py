"""Each column has the kind that all of its values have, and the figures of all rows."""

import io
from datetime import UTC, date, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from airflow_mlops_provider.scaffold.columns import load_csv
from airflow_mlops_provider.scaffold.csv_file import csv_file
from airflow_mlops_provider.steps.sources import _CSV_TYPES


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", "0"], "integer"),
        (["1", "2.5", "-.5", "1e3"], "number"),
        (["1", "", "NA"], "integer"),
        (["007", "12"], "text"),
        (["true", "False"], "boolean"),
        (["yes", "no"], "text"),
        (["2025-01-31", "2024-02-29"], "date"),
        (["2025-01-31", "2025-02-30"], "text"),
        (["2025-01-31 10:00", "2025-01-31"], "timestamp"),
        (["2025-01-31T10:00:00Z", "2025-01-31T10:00:00.5+02:00"], "timestamptz"),
        (["2025-01-31T10:00:00Z", "2025-01-31T10:00:00"], "text"),
        (["12:30", "13:45"], "text"),
        (["0x1F", "0x2A"], "text"),
        (["31.12.2025", "01.02.2025"], "text"),
        (["", ""], "text"),
        ([*["1"] * 2000, "x"], "text"),
        (["1.5", "1e400"], "text"),
        (["1.5", "inf"], "text"),
        (["9223372036854775807", "-1"], "integer"),
        (["9223372036854775808", "1"], "text"),
        ([" 1", "2 "], "integer"),
        ([" 1.5", "2"], "number"),
        ([" true", "false"], "text"),
        ([" 2025-01-31", "2025-02-01"], "text"),
        ([" 2025-01-31 10:00", "2025-02-01"], "text"),
        ([*["1"] * 2000, "1.5"], "number"),
    ],
)
def test_kinds(columns, values, kind):
    assert columns("a,b\n" + "".join(f"{value},1\n" for value in values))["a"].kind == kind


def test_figures(columns):
    found = columns("n,t,d\n3,x,2025-01-02\n1,,2025-01-01\n,x,\n3,y,2025-01-02\n")
    assert [(c.rows, c.nulls, c.values, c.low, c.high) for c in found.values()] == [
        (4, 1, 2, 1, 3),
        (4, 1, 2, None, None),
        (4, 1, 2, date(2025, 1, 1), date(2025, 1, 2)),
    ]
    assert columns("a,b\n2025-01-01 10:00,1\n")["a"].low == datetime(2025, 1, 1, 10)  # noqa: DTZ001  # it says no zone


VALUES = st.lists(st.sampled_from([" ", ""]), min_size=2, max_size=2).flatmap(
    lambda blanks: st.one_of(
        st.integers().map(str),
        st.floats().map(str),
        st.booleans().map(str),
        st.dates().map(str),
        st.datetimes(timezones=st.sampled_from([None, UTC])).map(str),
    ).map(lambda value: value.join(blanks))
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_arrow_reads_what_each_column_is_said_to_hold(columns, values):
    kind = columns("a,b\n" + "".join(f"{value},1\n" for value in values))["a"].kind
    options = csv.ConvertOptions(column_types={"a": _CSV_TYPES[kind]}, strings_can_be_null=True)
    read = csv.read_csv(io.BytesIO("".join(["a,b\n", *(f"{v},1\n" for v in values)]).encode()), convert_options=options)
    assert read.num_rows == len(values)


@pytest.mark.parametrize(
    ("text", "point", "kind"),
    [
        ("a;b\n1,5;x\n2;y\n", ",", "number"),
        ("a;b\n1.5;x\n2;y\n", ".", "number"),
        ("a;b\n1.234,5;x\n2;y\n", ".", "text"),
        ("a;b\n1;x\n2;y\n", ".", "integer"),
    ],
)
def test_the_decimal_point(con, tmp_path, text, point, kind):
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert load_csv(con, csv_file(path)) == point
    kinds = {"number": "DOUBLE", "text": "VARCHAR", "integer": "BIGINT"}
    assert con.execute("select typeof(a) from rows").fetchall()[0][0] == kinds[kind]


def test_names_of_any_kind(columns):
    names = ['Größe "neu"', "a b", "$x", "select", "x'y"]
    header = ",".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in names)
    assert list(columns(f"{header}\n1,2,3,4,5\n")) == names

"""Each column has the kind that all of its values have, and the figures of all rows."""

from datetime import date, datetime

import pytest

from airflow_mlops_provider.scaffold.columns import load_csv
from airflow_mlops_provider.scaffold.csv_file import csv_file


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
